import NIOCore
import Portmapper
import Warden

/// Turns datagrams into calls.
final class DatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private unowned let server: PortmapServer
    private let listener: UInt64
    private let port: UInt16

    init(server: PortmapServer, listener: UInt64, port: UInt16) {
        self.server = server
        self.listener = listener
        self.port = port
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard let (address, peerPort) = envelope.remoteAddress.numeric,
            let packet = envelope.metadata?.packetInfo, let (asked, _) = packet.destinationAddress.numeric
        else { return }
        let peer = Peer(
            address: address, port: peerPort, transport: .udp, asked: UniversalAddress(host: asked, port: port),
            channel: listener, interface: UInt32(packet.interfaceIndex),
            isBroadcast: server.broadcasts.isBroadcast(asked))
        let incoming = envelope.data.withUnsafeReadableBytes { IncomingCall(decoding: $0, from: peer) }
        server.delegate?.callReceived(incoming)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        server.delegate?.callsDelivered()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        server.delegate?.serverFailed("udp: \(error)")
    }
}

extension SocketAddress {
    /// Address and port; `nil` for unix sockets.
    var numeric: (IPAddress, UInt16)? {
        switch self {
        case .v4(let ipv4):
            (.v4(UInt32(bigEndian: ipv4.address.sin_addr.s_addr)), UInt16(bigEndian: ipv4.address.sin_port))
        case .v6(let ipv6):
            withUnsafeBytes(of: ipv6.address.sin6_addr) { bytes in
                IPAddress(networkBytes: bytes).map { ($0, UInt16(bigEndian: ipv6.address.sin6_port)) }
            }
        case .unixDomainSocket: nil
        }
    }
}
