import Addresses
import AuditTrail
import Calls
import Firewall
import FleetRecords
import ONCRPC

/// A task for the daemon; the shells perform it and report back by events.
/// Its cases are small, or indirect: a call makes two or three, and each is moved some times.
public enum Action: Hashable, Sendable {
    case sendReply(Reply, to: Peer)
    case closeConnection(ConnectionID)
    /// Ask the server's rpcbind; ends in ``Warden/answered(_:with:by:at:into:)``.
    case ask(Question, of: ServerNumber)
    /// Look up this host's listeners; ends in ``Warden/listenersInspected(_:of:_:since:at:into:)``.
    case inspectListeners(Set<ServicePort>, look: Int)
    /// Call services of a server; ends in ``Warden/servicesCalled(_:of:_:at:into:)``.
    case callServices([LivenessQuestion], of: ServerNumber, look: Int)
    /// Ask the portmapper of a client that a server calls back; ends in ``Warden/clientAnswered(_:with:at:into:)``.
    case askClient(ClientQuestion)
    /// Ask the kernel for the owner of this peer's socket; ends in ``Warden/ownerInspected(_:_:at:into:)``.
    case inspectOwner(Peer, exchange: Int)
    /// Commit, and report by ``Warden/committed(_:at:into:)``.
    case commit(Transaction)
    /// Read these grants from the kernel; ends in ``Warden/grantsInspected(_:at:into:)``.
    case inspectGrants([GrantKey])
    /// Delete the conntrack entries of the client's flows to the port.
    case cutFlows(AddressRange, ServicePort)
    indirect case audit(AuditEvent)
    /// Tell the other nodes of a fleet.
    indirect case tellFleet(DaemonMessage)

    /// Cuts the flows of the grant's client to its port.
    static func cutFlows(of key: GrantKey) -> Self { .cutFlows(AddressRange(key.client, key.client), key.service) }
}
