import Addresses
import CPortmapServer
import Calls
import NIOCore
import Portmapper

/// Turns datagrams into calls.
///
/// NIO reports that datagrams arrived, and reads the first. The others are read by one system call, which costs a
/// third of NIO's reads; where datagrams arrive one by one, that call would find nothing, and is left out.
///
/// ```
/// single ──every 16th time, another waits──▶ draining ──nothing more, 4 times in a row──▶ single
/// ```
final class DatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private unowned let server: PortmapServer
    private let listener: UInt64
    private let port: UInt16
    private let inbox: OpaquePointer
    /// Reads in a row after which no further datagram waited, or was looked for.
    private var emptyReads = 0

    private static let emptyReadsMax = 4
    private static let lookEvery = 16
    /// Upper bound of drains before other events are handled.
    private static let drainsAtOnce = 2

    init(server: PortmapServer, listener: UInt64, _ socket: ListeningSocket) {
        self.server = server
        self.listener = listener
        port = socket.port
        inbox = rpcw_inbox_create(socket.descriptor)
    }

    deinit {
        rpcw_inbox_destroy(inbox)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard let (address, peerPort) = envelope.remoteAddress.numeric,
            let packet = envelope.metadata?.packetInfo, let (asked, _) = packet.destinationAddress.numeric
        else { return }
        let peer = peer(address, peerPort, asking: asked, by: UInt32(packet.interfaceIndex), server, at: .now())
        if peer.isLocal { server.localFlood.received(1) }
        let incoming = envelope.data.withUnsafeReadableBytes { IncomingCall(decoding: $0, from: peer) }
        server.delegate?.callsReceived { take in take(incoming) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if emptyReads < Self.emptyReadsMax || emptyReads % Self.lookEvery == 0 { drain() } else { emptyReads += 1 }
        server.delegate?.callsDelivered()
    }

    private func drain() {
        // Copied once: each use of an unowned reference counts it.
        let server = server
        let now = NIODeadline.now()
        for _ in 0..<Self.drainsAtOnce {
            let count = rpcw_inbox_receive(inbox)
            emptyReads = count > 0 ? 0 : emptyReads + 1
            guard count > 0 else { return }
            var localCount = 0
            server.delegate?.callsReceived { take in
                for datagram in UnsafeBufferPointer(start: rpcw_inbox_datagrams(inbox), count: count) {
                    let bytes = UnsafeRawBufferPointer(start: datagram.bytes, count: datagram.count)
                    let peer = peer(
                        datagram.peer.ipAddress, datagram.peer.port, asking: datagram.asked.ipAddress,
                        by: datagram.interface, server, at: now)
                    if peer.isLocal { localCount += 1 }
                    take(IncomingCall(decoding: bytes, from: peer))
                }
            }
            server.localFlood.received(localCount)
            guard count == RPCW_INBOX_MESSAGES else { return }
        }
    }

    private func peer(
        _ address: IPAddress, _ peerPort: UInt16, asking asked: IPAddress, by interface: UInt32,
        _ server: PortmapServer, at now: NIODeadline
    ) -> Peer {
        Peer(
            address: address, port: peerPort, transport: .udp, asked: UniversalAddress(host: asked, port: port),
            channel: listener, interface: interface, isBroadcast: server.broadcasts.isBroadcast(asked, at: now),
            isLocal: server.ownAddresses.isLocal(datagramFrom: address, by: interface),
            isIntercepted: server.ownAddresses.isOfAnotherHost(asked))
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
