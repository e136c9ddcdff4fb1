import NIOCore
import NIOPosix
import ONCRPC

/// A service over UDP on loopback: answers calls as its closure says, and records them. Belongs to one event loop.
final class DatagramResponder {
    /// The messages that answer a call.
    var replies: (CallHeader) -> [[UInt8]] = { _ in [] }
    /// A message that is sent before them, from another port.
    var forgery: ((CallHeader) -> [UInt8])?
    private(set) var forgeries = 0
    private(set) var calls: [CallHeader] = []
    private(set) var callers: [SocketAddress] = []
    private var channel: (any Channel)?
    private var forger: (any Channel)?

    var port: Int? { channel?.localAddress?.port }

    func listen(on loop: any EventLoop) -> EventLoopFuture<Void> {
        let this = NIOLoopBound(self, eventLoop: loop)
        let bootstrap = DatagramBootstrap(group: loop).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(Handler(this.value))
            }
        }
        return bootstrap.bind(host: "127.0.0.1", port: 0).flatMap { channel in
            this.value.channel = channel
            return DatagramBootstrap(group: loop).bind(host: "127.0.0.1", port: 0).map { this.value.forger = $0 }
        }
    }

    func close() {
        channel?.close(promise: nil)
        forger?.close(promise: nil)
    }

    private func received(_ data: ByteBuffer, from caller: SocketAddress) {
        // A late reply to whoever had this port before, in another test, is no call.
        guard let header = data.withUnsafeReadableBytes(CallHeader.init(ofMessage:)) else { return }
        calls.append(header)
        callers.append(caller)
        if let forgery {
            forgeries += 1
            send(forgery(header), to: caller, by: forger)
        }
        for reply in replies(header) { send(reply, to: caller, by: channel) }
    }

    private func send(_ message: [UInt8], to caller: SocketAddress, by channel: (any Channel)?) {
        channel?.writeAndFlush(
            AddressedEnvelope(remoteAddress: caller, data: ByteBuffer(bytes: message)), promise: nil)
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>

        private let responder: DatagramResponder

        init(_ responder: DatagramResponder) { self.responder = responder }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            responder.received(envelope.data, from: envelope.remoteAddress)
        }

        /// The caller's socket is closed by now.
        func errorCaught(context: ChannelHandlerContext, error: any Error) {}
    }
}
