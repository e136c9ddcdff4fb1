import Glibc
import NIOCore
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
    /// Bytes read after the request, so that a reset doesn't destroy the reply.
    fileprivate static let bytesIgnoredMax = 64 << 10
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
                    try channel.pipeline.syncOperations.addHandler(RequestHandler(server: this.value))
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

/// Reads one request, writes one response, and reads on until the peer closes.
///
/// ```
/// reading ──head, or too much──▶ answered ──end of stream, too much, patience──▶ closed
/// ```
private final class RequestHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let server: MetricsServer
    private var head: [UInt8] = []
    private var isAnswered = false
    private var bytesIgnored = 0
    private var timeout: Scheduled<Void>?

    init(server: MetricsServer) {
        self.server = server
    }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        timeout = context.eventLoop.scheduleTask(in: MetricsServer.patience) { channel.close(promise: nil) }
        server.opened(channel)
    }

    func channelInactive(context: ChannelHandlerContext) {
        timeout?.cancel()
        server.closed(context.channel)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data).readableBytesView
        guard !isAnswered else {
            bytesIgnored += bytes.count
            if bytesIgnored > MetricsServer.bytesIgnoredMax { context.close(promise: nil) }
            return
        }
        head += bytes
        // Only a line's end, or too many bytes, can end the head: a client that sends byte by byte causes no
        // repeated parsing.
        guard bytes.contains(UInt8(ascii: "\n")) || head.count >= HTTPRequest.headBytesMax else { return }
        guard let response = HTTPResponse.answer(to: head, page: server.page) else { return }
        isAnswered = true
        head = []
        let channel = context.channel
        channel.writeAndFlush(ByteBuffer(bytes: response.bytes)).whenComplete { _ in
            channel.close(mode: .output, promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
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
