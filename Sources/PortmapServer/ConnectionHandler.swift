import NIOCore
import ONCRPC
import Portmapper
import Warden

/// Cuts a connection's bytes into records, and these into calls.
///
/// ```
/// active ──record──▶ active ──fault, or the peer doesn't read──▶ closed, or paused until it reads
/// ```
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private unowned let server: PortmapServer
    private var reader: RecordReader
    private var peer: Peer?

    init(server: PortmapServer) {
        self.server = server
        reader = RecordReader(recordBytesMax: server.recordBytesMax)
    }

    func channelActive(context: ChannelHandlerContext) {
        guard let (address, port) = context.remoteAddress?.numeric,
            let (asked, askedPort) = context.localAddress?.numeric
        else { return context.close(promise: nil) }
        let peer = Peer(
            address: address, port: port, transport: .tcp, asked: UniversalAddress(host: asked, port: askedPort),
            channel: server.takeID())
        self.peer = peer
        server.connections[peer.channel] = context.channel
        server.awaited.insert(peer.channel)
        server.delegate?.connectionOpened(peer)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let peer else { return }
        let records = unwrapInboundIn(data).withUnsafeReadableBytes { reader.feed($0) }
        if reader.isInsideRecord {
            server.awaited.insert(peer.channel)
        } else {
            server.awaited.remove(peer.channel)
        }
        if !records.isEmpty {
            server.delegate?.callsReceived { take in
                for record in records { take(record.withUnsafeBytes { IncomingCall(decoding: $0, from: peer) }) }
            }
        }
        server.delegate?.connectionReceived(peer.channel, isInsideRecord: reader.isInsideRecord)
        if let fault = reader.fault { server.delegate?.recordRefused(peer, fault) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        server.delegate?.callsDelivered()
    }

    /// A peer that doesn't read its replies asks nothing more meanwhile.
    func channelWritabilityChanged(context: ChannelHandlerContext) {
        context.channel.setOption(.autoRead, value: context.channel.isWritable).whenFailure { _ in }
    }

    func channelInactive(context: ChannelHandlerContext) {
        guard let peer else { return }
        server.connections[peer.channel] = nil
        server.awaited.remove(peer.channel)
        server.delegate?.connectionClosed(peer.channel)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
