import Glibc
import NIOCore

/// Pauses a listener that can't accept a connection for want of descriptors.
///
/// NIO would retry at once and without end: the waiting connection keeps the socket readable.
/// ```
/// accepting ──EMFILE, ENFILE, ENOBUFS, ENOMEM──▶ paused ──pause──▶ accepting
/// ```
final class AcceptHandler: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private unowned let server: PortmapServer
    private var isPaused = false

    init(server: PortmapServer) {
        self.server = server
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode), !isPaused
        else { return }
        isPaused = true
        let channel = context.channel
        setReading(false, channel)
        server.delegate?.connectionsExhausted()
        let this = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: PortmapServer.pause) {
            this.value.isPaused = false
            this.value.setReading(true, channel)
        }
    }

    private func setReading(_ isReading: Bool, _ channel: any Channel) {
        // This fails only on a closed channel.
        channel.setOption(.autoRead, value: isReading).whenFailure { _ in }
    }
}
