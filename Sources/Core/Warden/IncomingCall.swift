import Addresses
import ONCRPC
import Portmapper

extension IPAddress {
    /// What one subscriber has at least: an IPv4 address, an IPv6 /64.
    var site: IPAddress {
        switch self {
        case .v4: self
        case .v6(let bits): .v6(IPv6Bits(UInt128(bits.subnet) << 64))
        }
    }
}

/// Who asks, how, and at which of our addresses.
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

/// A message that reached port 111, decoded whole or not at all.
public struct IncomingCall: Hashable, Sendable {
    public enum Content: Hashable, Sendable {
        case call(PortmapperCall)
        /// A sound call of something that we don't serve.
        case undispatchable(CallHeader, DispatchFault)
        case faulty(CallFault)
    }

    public var peer: Peer
    /// 0 where the message is too short to have one.
    public var xid: UInt32
    /// The length of the message, without record marking.
    public var byteCount: Int
    public var content: Content

    public init(peer: Peer, xid: UInt32, byteCount: Int, content: Content) {
        self.peer = peer
        self.xid = xid
        self.byteCount = byteCount
        self.content = content
    }

    public init(decoding bytes: UnsafeRawBufferPointer, from peer: Peer) {
        var decoder = XDRDecoder(bytes)
        do {
            let header = try CallHeader(from: &decoder)
            do {
                let call = try PortmapperCall(header, arguments: &decoder)
                self.init(peer: peer, xid: header.xid, byteCount: bytes.count, content: .call(call))
            } catch {
                self.init(
                    peer: peer, xid: header.xid, byteCount: bytes.count, content: .undispatchable(header, error))
            }
        } catch {
            self.init(peer: peer, xid: error.owed?.xid ?? 0, byteCount: bytes.count, content: .faulty(error))
        }
    }
}
