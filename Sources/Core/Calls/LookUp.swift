import Addresses
import Portmapper

/// A call that looks up one service: the registrations that may answer it.
public struct LookUp: Hashable, Sendable {
    public let program: Program
    public let version: UInt32
    /// The netid of the registrations that answer; version 2 answers from the ones of IPv4, whatever it is asked
    /// over.
    public let netID: NetID
    /// GETVERSADDR asks for exactly this version.
    public let isExact: Bool
    /// GETPORT is answered with a port, the others with a universal address.
    public let answersPort: Bool
    /// This host sees all registrations; other clients, the ones that they can reach.
    public let isLocal: Bool

    /// The address that was asked: a registration may hold for another one alone.
    public let server: ServerID
}

extension PortmapperCall {
    /// `nil` if the call looks up nothing, or over a protocol that rpcbind doesn't know.
    public func lookUp(from peer: Peer, at server: ServerID = .thisHost) -> LookUp? {
        switch self {
        case .getPort(let mapping):
            guard let transport = mapping.transport else { return nil }
            return LookUp(
                program: mapping.program, version: mapping.version, netID: NetID(transport, isIPv4: true),
                isExact: false, answersPort: true, isLocal: peer.isLocal, server: server)
        case .getAddress(_, let rpcb):
            return LookUp(
                program: rpcb.program, version: rpcb.version, netID: peer.netID, isExact: false, answersPort: false,
                isLocal: peer.isLocal, server: server)
        case .getVersionAddress(let rpcb):
            return LookUp(
                program: rpcb.program, version: rpcb.version, netID: peer.netID, isExact: true, answersPort: false,
                isLocal: peer.isLocal, server: server)
        case .null, .setMapping, .unsetMapping, .dump, .set, .unset, .callIt, .broadcast, .indirect, .getAddressList,
            .getTime, .universalToTransportAddress, .transportToUniversalAddress, .getStatistics:
            return nil
        }
    }
}
