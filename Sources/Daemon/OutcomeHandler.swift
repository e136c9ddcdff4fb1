import NIOCore
import NIOPosix

/// Wakes the loop when the netfilter process has done what was begun.
final class OutcomeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let client: NetfilterClient

    private init(_ client: NetfilterClient) { self.client = client }

    /// As much as a pipe hands over whole: PIPE_BUF. No outcome is longer.
    private static let replyBytesMax = 4096

    static func watch(_ client: NetfilterClient, on loop: any EventLoop) -> EventLoopFuture<any Channel> {
        let handler = NIOLoopBound(OutcomeHandler(client), eventLoop: loop)
        return NIOPipeBootstrap(group: loop)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: replyBytesMax))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(handler.value)
                }
            }
            .takingOwnershipOfDescriptor(input: client.watched())
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        client.received(Array(unwrapInboundIn(data).readableBytesView))
    }
}
