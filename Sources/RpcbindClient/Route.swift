import Glibc
import NIOCore
import NIOPosix
import ONCRPC
import Portmapper
import Warden

/// One channel to rpcbind, connected when it is needed.
///
/// ```
/// idle ──ask──▶ connecting ──▶ connected ──broken──▶ idle
///   ▲               │ failed: every question fails
///   └───────────────┘
/// ```
final class Route {
    enum Place {
        case unix(String)
        case udp(Settings.Endpoint)
        case tcp(Settings.Endpoint)
    }

    private enum State {
        case idle
        case connecting
        case connected(any Channel)
        case closed
    }

    /// A listing of as many registrations as we keep, and then some; more is nobody's honest registry.
    static let replyBytesMax = 8 << 20
    /// A universal address has 58 characters at the most.
    private static let datagramBytesMax = 1024
    private static let datagramsAtOnce = 32
    /// Invariant 3: rpcbind trusts what comes from a reserved port of loopback.
    private static let firstUnreservedPort = 1024

    private let loop: any EventLoop
    private let place: Place
    private let timeout: Duration
    private let clock: () -> Instant
    private let answered: (Question, RpcbindClient.Answer) -> Void
    fileprivate let delivered: () -> Void
    private var pipeline: Pipeline
    private var state = State.idle
    private var isPumpDue = false
    /// The last listing, as it came and as it was decoded: mostly it is the same again.
    private var listing: (results: [UInt8], decoded: PortmapperResult)?

    init(
        on loop: any EventLoop, to place: Place, timeout: Duration, clock: @escaping () -> Instant,
        answered: @escaping (Question, RpcbindClient.Answer) -> Void, delivered: @escaping () -> Void
    ) {
        self.loop = loop
        self.place = place
        self.timeout = timeout
        self.clock = clock
        self.answered = answered
        self.delivered = delivered
        pipeline = Pipeline(timeout: timeout, isLossy: place.isDatagram, firstXID: .random(in: .min ... .max))
    }

    func ask(_ question: Question) {
        guard pipeline.ask(question, at: clock()) else { return answered(question, .failure(.busy)) }
        pumpSoon()
    }

    /// What is asked in the events at hand leaves together: rpcbind is woken once for it.
    private func pumpSoon() {
        guard !isPumpDue, pipeline.isAnyWaiting else { return }
        isPumpDue = true
        let this = NIOLoopBound(self, eventLoop: loop)
        loop.execute {
            this.value.isPumpDue = false
            this.value.pump()
        }
    }

    /// Sends what may be sent, once there is a channel.
    private func pump() {
        switch state {
        case .idle: connect()
        case .connecting, .closed: break
        case .connected(let channel): write(pipeline.takeSendable(at: clock()), to: channel)
        }
    }

    private func write(_ messages: [[UInt8]], to channel: any Channel) {
        guard !messages.isEmpty else { return }
        if place.isDatagram {
            for message in messages { channel.write(channel.allocator.buffer(bytes: message), promise: nil) }
        } else {
            var buffer = channel.allocator.buffer(capacity: messages.reduce(0) { $0 + $1.count + 4 })
            for message in messages {
                buffer.writeInteger(RecordReader.header(forRecordBytes: message.count))
                buffer.writeBytes(message)
            }
            channel.write(buffer, promise: nil)
        }
        channel.flush()
    }

    func timeAdvanced() {
        let now = clock()
        if case .connected(let channel) = state { write(pipeline.takeResendable(at: now), to: channel) }
        let late = pipeline.takeLate(at: now)
        // A stream whose answers don't come is stuck: what follows would wait behind them.
        if !late.isEmpty, !place.isDatagram, case .connected(let channel) = state { channel.close(promise: nil) }
        for question in late { answered(question, .failure(.timedOut)) }
    }

    func close() {
        if case .connected(let channel) = state { channel.close(promise: nil) }
        state = .closed
    }

    private func connect() {
        state = .connecting
        let this = NIOLoopBound(self, eventLoop: loop)
        opened().whenComplete { result in
            switch result {
            case .success(let channel): this.value.connected(channel)
            case .failure(let error): this.value.connectFailed("\(error)")
            }
        }
    }

    private func opened() -> EventLoopFuture<any Channel> {
        let this = NIOLoopBound(self, eventLoop: loop)
        let initializer: @Sendable (any Channel) -> EventLoopFuture<Void> = { channel in
            channel.eventLoop.makeCompletedFuture {
                let route = this.value
                let handler: any ChannelHandler =
                    route.place.isDatagram ? DatagramRouteHandler(route: route) : StreamRouteHandler(route: route)
                try channel.pipeline.syncOperations.addHandler(handler)
            }
        }
        let limit = TimeAmount(timeout)
        do {
            switch place {
            case .unix(let path):
                return ClientBootstrap(group: loop).connectTimeout(limit).channelInitializer(initializer)
                    .connect(unixDomainSocketPath: path)
            case .tcp(let endpoint):
                return ClientBootstrap(group: loop).connectTimeout(limit)
                    .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                    .channelInitializer(initializer).connect(to: try endpoint.socketAddress)
            case .udp(let endpoint):
                return DatagramBootstrap(group: loop)
                    .channelOption(.datagramVectorReadMessageCount, value: Self.datagramsAtOnce)
                    .channelOption(.maxMessagesPerRead, value: 1)
                    .channelOption(
                        .recvAllocator,
                        value: FixedSizeRecvByteBufferAllocator(
                            capacity: Self.datagramsAtOnce * Self.datagramBytesMax)
                    )
                    .channelInitializer(initializer)
                    .connect(to: try endpoint.socketAddress)
            }
        } catch {
            return loop.makeFailedFuture(error)
        }
    }

    private func connected(_ channel: any Channel) {
        if case .closed = state { return channel.close(promise: nil) }
        guard channel.isActive else { return connectFailed("the connection was closed at once") }
        if let port = channel.localAddress?.port, port < Self.firstUnreservedPort {
            channel.close(promise: nil)
            return connectFailed("the source port \(port) is reserved; raise net.ipv4.ip_local_port_range")
        }
        state = .connected(channel)
        pump()
    }

    private func connectFailed(_ detail: String) {
        if case .closed = state { return }
        state = .idle
        for question in pipeline.takeAll() {
            answered(question, .failure(.unreachable("\(place): \(detail)")))
        }
    }

    /// The channel is gone: what it still owes is asked anew, once.
    fileprivate func disconnected(_ channel: any Channel) {
        guard case .connected(let current) = state, current === channel else { return }
        state = .idle
        for question in pipeline.disconnected() {
            answered(question, .failure(.unreachable("\(place): the connection broke")))
        }
        if !pipeline.isEmpty { connect() }
    }

    fileprivate func received(_ message: UnsafeRawBufferPointer) {
        do {
            let reply = try Reply(decoding: message)
            guard let question = pipeline.replied(xid: reply.xid) else { return }
            answered(question, answer(reply.body, to: question))
            pumpSoon()
        } catch {
            // No reply, so nobody's answer: the question that it may have been for runs into its deadline.
            return
        }
    }

    private func answer(_ body: Reply.Body, to question: Question) -> RpcbindClient.Answer {
        guard case .success(let results) = body else { return .failure(.refused("\(body)")) }
        if question == .registry, let listing, listing.results.isSame(as: results) { return .success(listing.decoded) }
        do {
            let decoded = try results.withUnsafeBytes { try PortmapperResult(decoding: $0, of: question.call) }
            if question == .registry { listing = (results, decoded) }
            return .success(decoded)
        } catch {
            return .failure(.refused("\(error)"))
        }
    }

    /// Nobody listens for datagrams.
    fileprivate func failed(_ error: any Error) {
        for question in pipeline.takeAll() { answered(question, .failure(.unreachable("\(place): \(error)"))) }
    }
}

extension [UInt8] {
    /// By memcmp: `==` looks at one byte after the other.
    fileprivate func isSame(as other: Self) -> Bool {
        withUnsafeBytes { bytes in
            other.withUnsafeBytes { others in
                guard bytes.count == others.count else { return false }
                guard let first = bytes.baseAddress, let second = others.baseAddress else { return true }
                return memcmp(first, second, bytes.count) == 0
            }
        }
    }
}

extension Route.Place: CustomStringConvertible {
    var isDatagram: Bool {
        switch self {
        case .udp: true
        case .unix, .tcp: false
        }
    }

    var description: String {
        switch self {
        case .unix(let path): path
        case .udp(let endpoint): "udp \(endpoint)"
        case .tcp(let endpoint): "tcp \(endpoint)"
        }
    }
}

extension Settings.Endpoint {
    var socketAddress: SocketAddress {
        get throws { try SocketAddress(ipAddress: "\(address)", port: Int(port)) }
    }
}

/// Takes rpcbind's datagrams.
private final class DatagramRouteHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let route: Route

    init(route: Route) {
        self.route = route
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        unwrapInboundIn(data).data.withUnsafeReadableBytes { route.received($0) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        route.delivered()
    }

    func channelInactive(context: ChannelHandlerContext) {
        route.disconnected(context.channel)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        route.failed(error)
    }
}

/// Cuts rpcbind's stream into messages.
private final class StreamRouteHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let route: Route
    private var reader = RecordReader(recordBytesMax: Route.replyBytesMax)

    init(route: Route) {
        self.route = route
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let records = unwrapInboundIn(data).withUnsafeReadableBytes { reader.feed($0) }
        for record in records { record.withUnsafeBytes { route.received($0) } }
        if reader.fault != nil { context.close(promise: nil) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        route.delivered()
    }

    func channelInactive(context: ChannelHandlerContext) {
        route.disconnected(context.channel)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
