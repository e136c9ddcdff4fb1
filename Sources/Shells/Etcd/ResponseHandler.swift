import NIOCore
import NIOHTTP1

/// Assembles the responses of a connection that carries one request at a time.
final class ResponseHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    enum Event {
        case answered(Response, isKeptAlive: Bool)
        /// The response is longer than is taken.
        case overlong
        case broke(String)
    }

    private let received: (any Channel, Event) -> Void
    private var status: UInt = 0
    private var isKeptAlive = true
    private var body: [UInt8] = []
    private var hasEnded = false

    init(_ received: @escaping (any Channel, Event) -> Void) { self.received = received }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasEnded else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            status = head.status.code
            isKeptAlive = head.isKeepAlive
            body = []
        case .body(let part):
            guard body.count + part.readableBytes <= EtcdLimits.responseBytesMax else {
                return end(context, .overlong)
            }
            body += part.readableBytesView
        case .end:
            let response = Response(status: status, body: body)
            body = []
            received(context.channel, .answered(response, isKeptAlive: isKeptAlive))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(context, .broke(connectionFailure(error)))
    }

    func channelInactive(context: ChannelHandlerContext) { end(context, .broke("the connection was closed")) }

    /// The first failure tells most.
    private func end(_ context: ChannelHandlerContext, _ event: Event) {
        guard !hasEnded else { return }
        hasEnded = true
        received(context.channel, event)
        context.close(promise: nil)
    }
}
