import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import System

/// An error making the metrics' socket.
public struct MetricsServerError: Error, Hashable, Sendable, CustomStringConvertible {
    public var place: String
    public var detail: String

    public var description: String {
        "can't listen for metrics at tcp/\(place): \(detail); choose another `metrics`, or null for none"
    }
}

/// Serves `GET /metrics`: one request per connection.
///
/// Its clients share the daemon's event loop, so everything is bounded: bytes, connections, time, and rendered pages.
public final class MetricsServer {
    private let loop: any EventLoop
    private let snapshot: () -> MetricsSnapshot
    private var channel: (any Channel)?
    /// Oldest first.
    private var connections: [any Channel] = []
    private var pages: [Exposition: (text: [UInt8], at: NIODeadline)] = [:]

    /// Enough for a few Prometheus servers and browsers; beyond it the oldest connection is closed, since it is
    /// the slow one.
    public static let connectionsMax = 8
    /// Time limit of a connection.
    static let patience: TimeAmount = .seconds(5)
    /// Scrapes within this time get the same page.
    static let pageLife: TimeAmount = .milliseconds(100)
    /// Upper bound of bytes read from a connection: more than any request. What comes after the request is read too, so
    /// that a reset doesn't destroy the reply.
    fileprivate static let bytesMax = 64 << 10
    /// The pause after a failed accept: without descriptors NIO would retry at once and without end.
    fileprivate static let pause: TimeAmount = .milliseconds(100)

    public init(on loop: any EventLoop, snapshot: @escaping () -> MetricsSnapshot) {
        self.loop = loop
        self.snapshot = snapshot
    }

    public func listen(at address: String, port: UInt16) -> EventLoopFuture<Void> {
        do {
            return listen(at: try SocketAddress(ipAddress: address, port: Int(port)))
        } catch {
            return loop.makeFailedFuture(error)
        }
    }

    private func listen(at address: SocketAddress) -> EventLoopFuture<Void> {
        let this = NIOLoopBound(self, eventLoop: loop)
        return ServerBootstrap(group: loop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(Self.freeBind(address), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause())
                }
            }
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let requests = HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)
                    try channel.pipeline.syncOperations.addHandlers(
                        ConnectionLimits(server: this.value), ByteToMessageHandler(requests), HTTPResponseEncoder(),
                        RequestHandler(server: this.value))
                }
            }
            .bind(to: address)
            .flatMapErrorThrowing { error in
                let detail = (error as? IOError).map { "\(Errno($0.errnoCode))" } ?? "\(error)"
                throw MetricsServerError(place: Self.place(address), detail: detail)
            }
            .map { this.value.channel = $0 }
    }

    /// The daemon starts before the network is up, when the address may not be assigned to this host yet.
    private static func freeBind(_ address: SocketAddress) -> ChannelOptions.Types.SocketOption {
        switch address {
        // IPV6_FREEBIND, which Glibc's module lacks.
        case .v6: .init(level: NIOBSDSocket.OptionLevel(rawValue: CInt(IPPROTO_IPV6)), name: .init(rawValue: 78))
        case .v4, .unixDomainSocket: .init(level: .ip, name: .init(rawValue: IP_FREEBIND))
        }
    }

    private static func place(_ address: SocketAddress) -> String {
        let host = address.ipAddress ?? ""
        return (host.contains(":") ? "[\(host)]" : host) + ":\(address.port ?? 0)"
    }

    public func close() {
        channel?.close(promise: nil)
        for connection in connections { connection.close(promise: nil) }
    }

    /// The port in use, for tests that let the kernel choose it.
    var port: Int? { channel?.localAddress?.port }

    fileprivate func opened(_ connection: any Channel) {
        connections.append(connection)
        if connections.count > Self.connectionsMax { connections[0].close(promise: nil) }
    }

    fileprivate func closed(_ connection: any Channel) {
        connections.removeAll { $0 === connection }
    }

    fileprivate func page(_ exposition: Exposition) -> [UInt8] {
        if let page = pages[exposition], page.at + Self.pageLife > .now() { return page.text }
        let text = exposition.text(snapshot())
        pages[exposition] = (text, .now())
        return text
    }
}

/// Ends connections that take too long, or send too much.
private final class ConnectionLimits: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let server: MetricsServer
    private var bytes = 0
    private var timeout: Scheduled<Void>?

    init(server: MetricsServer) {
        self.server = server
    }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        timeout = context.eventLoop.scheduleTask(in: MetricsServer.patience) { channel.close(promise: nil) }
        server.opened(channel)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timeout?.cancel()
        server.closed(context.channel)
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        bytes += unwrapInboundIn(data).readableBytes
        guard bytes <= MetricsServer.bytesMax else { return context.close(promise: nil) }
        context.fireChannelRead(data)
    }
}

/// Answers the first request of a connection, and ignores the others until the peer closes.
private final class RequestHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: MetricsServer
    private var isAnswered = false

    init(server: MetricsServer) {
        self.server = server
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = unwrapInboundIn(data) else { return }
        let isHead = head.method == .HEAD
        guard head.uri.prefix(while: { $0 != "?" }) == "/metrics" else {
            return answer(context, .notFound, hasBody: !isHead)
        }
        guard isHead || head.method == .GET else {
            return answer(context, .methodNotAllowed, ["Allow": "GET, HEAD"])
        }
        let exposition = Exposition(accepted: head.headers[canonicalForm: "Accept"])
        answer(
            context, .ok, type: exposition.contentType, ByteBuffer(bytes: server.page(exposition)), hasBody: !isHead)
    }

    /// - Parameter body: `nil`: the status in words.
    private func answer(
        _ context: ChannelHandlerContext, _ status: HTTPResponseStatus, _ others: HTTPHeaders = [:],
        type: String = "text/plain; charset=utf-8", _ body: ByteBuffer? = nil, hasBody: Bool = true
    ) {
        guard !isAnswered else { return }
        isAnswered = true
        let body = body ?? ByteBuffer(string: "\(status.code) \(status.reasonPhrase)\n")
        var fields: HTTPHeaders = [
            "Content-Type": type, "Content-Length": "\(body.readableBytes)", "Connection": "close",
            "X-Content-Type-Options": "nosniff",
        ]
        fields.add(contentsOf: others)
        let head = HTTPResponseHead(version: .http1_1, status: status, headers: fields)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if hasBody { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
            channel.close(mode: .output, promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError, !isAnswered else { return context.close(promise: nil) }
        answer(context, .badRequest)
    }
}

/// Pauses a listener that can't accept a connection for want of descriptors.
private final class AcceptPause: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private var isPaused = false

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is IOError, !isPaused else { return }
        isPaused = true
        let channel = context.channel
        channel.setOption(.autoRead, value: false).whenFailure { _ in }
        let this = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: MetricsServer.pause) {
            this.value.isPaused = false
            channel.setOption(.autoRead, value: true).whenFailure { _ in }
        }
    }
}
