import Addresses
import Portmapper

/// The caller: its address and port, the transport, and the address of ours that it asked.
public struct Peer: Hashable, Sendable {
    public var address: IPAddress
    public var port: UInt16
    /// How the call came.
    public var transport: Transport
    /// The address and port that were asked.
    public var asked: UniversalAddress
    /// TCP: the connection. UDP: the listener.
    public var channel: UInt64
    /// UDP: the interface that the datagram came in by, as its index.
    public var interface: UInt32
    /// The datagram was sent to a broadcast or multicast address.
    public var isBroadcast: Bool
    /// On this host, at any of its addresses.
    ///
    /// The kernel says so, never the source address alone, which anybody can write into a datagram. UDP: the interface.
    /// TCP: the route to the peer, which has completed the handshake, so that what we sent to its address reached it.
    public var isLocal: Bool

    public init(
        address: IPAddress, port: UInt16, transport: Transport, asked: UniversalAddress, channel: UInt64,
        interface: UInt32 = 0, isBroadcast: Bool = false, isLocal: Bool = false
    ) {
        self.address = address
        self.port = port
        self.transport = transport
        self.asked = asked
        self.channel = channel
        self.interface = interface
        self.isBroadcast = isBroadcast
        self.isLocal = isLocal
    }

    public var netID: NetID { NetID(transport, isIPv4: address.isIPv4) }
}

/// A TCP connection to port 111, for as long as it lasts.
public typealias ConnectionID = UInt64
