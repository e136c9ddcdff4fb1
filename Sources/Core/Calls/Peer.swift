import Addresses
import Portmapper

/// The caller: its address and port, the transport, and the local address that it asked.
public struct Peer: Hashable, Sendable {
    public var address: IPAddress
    public var port: UInt16
    /// The transport of the call.
    public var transport: Transport
    /// The address and port that were asked.
    public var asked: UniversalAddress
    /// TCP: the connection. UDP: the listener.
    public var channel: UInt64
    /// UDP: the interface that the datagram came in by, as its index.
    public var interface: UInt32
    /// The datagram was sent to a broadcast or multicast address.
    public var isBroadcast: Bool
    /// The peer is on this host, at any of its addresses.
    ///
    /// The kernel tells it, never the source address alone, which any sender can forge in a datagram. UDP: by the
    /// interface. TCP: by the route to the peer, which has completed the handshake and so has received packets at
    /// its address.
    public var isLocal: Bool
    /// The address that was asked is none of this host's: the call was intercepted on its way.
    public var isIntercepted: Bool

    public init(
        address: IPAddress, port: UInt16, transport: Transport, asked: UniversalAddress, channel: UInt64,
        interface: UInt32 = 0, isBroadcast: Bool = false, isLocal: Bool = false,
        isIntercepted: Bool = false
    ) {
        self.address = address
        self.port = port
        self.transport = transport
        self.asked = asked
        self.channel = channel
        self.interface = interface
        self.isBroadcast = isBroadcast
        self.isLocal = isLocal
        self.isIntercepted = isIntercepted
    }

    public var netID: NetID { NetID(transport, isIPv4: address.isIPv4) }
}

/// A TCP connection to port 111, for as long as it lasts.
public typealias ConnectionID = UInt64
