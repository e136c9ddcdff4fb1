import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Opens connections to members: TCP, TLS with the name verified, HTTP/1.1.
struct MemberConnector: Sendable {
    let loop: any EventLoop
    let context: NIOSSLContext
    let connectTimeout: TimeAmount

    /// - Parameter last: gets the parts of responses; called on the loop.
    /// - Returns: the connection, once requests may be sent. Fails with ``EtcdError/lost(_:)``.
    func connect(
        to endpoint: EtcdEndpoint, last: @escaping @Sendable () -> any ChannelHandler
    ) -> EventLoopFuture<any Channel> {
        let ready = loop.makePromise(of: Void.self)
        let context = context
        let connected = ClientBootstrap(group: loop)
            .connectTimeout(connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            // A watch may be silent for days; a firewall between forgets it, and nobody would say so.
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(Self.tcpOption(TCP_KEEPIDLE), value: EtcdLimits.silenceSeconds)
            .channelOption(Self.tcpOption(TCP_KEEPINTVL), value: EtcdLimits.silenceSeconds / 3)
            .channelOption(Self.tcpOption(TCP_KEEPCNT), value: 3)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if endpoint.isSecure {
                        try channel.pipeline.syncOperations.addHandler(Self.client(of: endpoint, context))
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        ReadinessHandler(ready, isSecure: endpoint.isSecure))
                    try Self.addHTTP(to: channel)
                    try channel.pipeline.syncOperations.addHandler(last())
                }
            }
            .connect(host: endpoint.host, port: Int(endpoint.port))
        return waiting(for: ready, connected, endpoint)
    }

    private func waiting(
        for ready: EventLoopPromise<Void>, _ connected: EventLoopFuture<any Channel>, _ endpoint: EtcdEndpoint
    ) -> EventLoopFuture<any Channel> {
        // A member that accepts and says nothing would hold the handshake up.
        let deadline = loop.scheduleTask(in: connectTimeout) { ready.fail(ChannelError.connectTimeout(connectTimeout)) }
        connected.whenFailure { ready.fail($0) }
        return ready.futureResult.flatMap { connected }.flatMapError { error in
            connected.whenSuccess { $0.close(promise: nil) }
            return loop.makeFailedFuture(EtcdError.lost("\(endpoint): \(connectionFailure(error))"))
        }.always { _ in deadline.cancel() }
    }

    private static func tcpOption(_ name: Int32) -> ChannelOptions.Types.SocketOption {
        ChannelOptions.Types.SocketOption(level: .tcp, name: NIOBSDSocket.Option(rawValue: name))
    }

    private static func client(of endpoint: EtcdEndpoint, _ context: NIOSSLContext) throws -> NIOSSLClientHandler {
        // Without a name, the certificate is verified by the address that is connected to.
        try NIOSSLClientHandler(context: context, serverHostname: isNumeric(endpoint.host) ? nil : endpoint.host)
    }

    private static func isNumeric(_ host: String) -> Bool {
        do {
            _ = try SocketAddress(ipAddress: host, port: 0)
            return true
        } catch {
            return false
        }
    }

    private static func addHTTP(to channel: any Channel) throws {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = EtcdLimits.headerBytesMax
        limits.maxHeaderFieldSize = EtcdLimits.headerBytesMax
        limits.maxHeaderFieldCount = EtcdLimits.headersMax
        let decoder = HTTPResponseDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: limits)
        try channel.pipeline.syncOperations.addHandlers(HTTPRequestEncoder(), ByteToMessageHandler(decoder))
    }
}
