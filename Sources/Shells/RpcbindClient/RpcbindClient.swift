import Calls
import Clock
import Glibc
import NIOCore
import NIOPosix
import ONCRPC
import Portmapper

/// Asks one portmapper, this host's or a server's, over a stream.
///
/// The client and its closures belong to one event loop. The stream is opened on demand, as ``RpcbindAccess`` tells.
///
/// ```
/// idle ──ask──▶ connecting ──▶ connected ──broken──▶ idle
///   ▲               │ failed: every question fails, and the next attempt waits for the pause
///   └───────────────┘
/// ```
public final class RpcbindClient {
    public typealias Answer = Result<RpcbindAnswer, RpcbindFailure>

    private enum State {
        case idle
        case connecting
        case connected(any Channel)
        case closed
    }

    private let loop: any EventLoop
    private let access: RpcbindAccess
    private let clock: () -> Instant
    private let answered: (Question, Answer) -> Void
    fileprivate let delivered: () -> Void
    private var pipeline: CallQueue
    private var state = State.idle
    /// No attempt to connect is made earlier.
    private var nextAttempt = Instant(nanoseconds: .min)
    private var isPumpDue = false
    /// The last listing, as bytes and decoded: the next one is mostly the same.
    private var listing: (results: [UInt8], decoded: Listing)?

    /// - Parameter delivered: called after all answers that arrived together.
    public init(
        on loop: any EventLoop, _ access: RpcbindAccess, clock: @escaping () -> Instant,
        answered: @escaping (Question, Answer) -> Void, delivered: @escaping () -> Void
    ) {
        self.loop = loop
        self.access = access
        self.clock = clock
        self.answered = answered
        self.delivered = delivered
        pipeline = CallQueue(
            timeout: access.timeout, firstXID: .random(in: .min ... .max), oldestVersion: access.oldestVersion)
    }

    public func ask(_ question: Question) {
        guard pipeline.ask(question, at: clock()) else { return answered(question, .failure(.busy)) }
        pumpSoon()
    }

    /// Questions of the current events are sent together, so rpcbind wakes up once.
    private func pumpSoon() {
        guard !isPumpDue, pipeline.isAnyWaiting else { return }
        isPumpDue = true
        let this = NIOLoopBound(self, eventLoop: loop)
        loop.execute {
            this.value.isPumpDue = false
            this.value.pump()
        }
    }

    /// Sends the questions that may be sent, once there is a channel.
    private func pump() {
        switch state {
        case .idle:
            guard clock() >= nextAttempt else { return }
            connect()
        case .connecting, .closed: break
        case .connected(let channel): write(pipeline.takeSendable(at: clock()), to: channel)
        }
    }

    private func write(_ messages: [[UInt8]], to channel: any Channel) {
        guard !messages.isEmpty else { return }
        var buffer = channel.allocator.buffer(capacity: messages.reduce(0) { $0 + $1.count + 4 })
        for message in messages {
            buffer.writeInteger(RecordReader.header(forRecordBytes: message.count))
            buffer.writeBytes(message)
        }
        channel.write(buffer, promise: nil)
        channel.flush()
    }

    /// Called periodically: late questions fail, and the ones that waited for a pause are sent.
    public func timeAdvanced() {
        let now = clock()
        pipeline.timeAdvanced(to: now)
        let (late, isStuck) = pipeline.takeLate(at: now)
        // Later questions would wait behind these.
        if isStuck, case .connected(let channel) = state { channel.close(promise: nil) }
        for question in late { answered(question, .failure(.timedOut)) }
        if case .idle = state { pumpSoon() }
    }

    public func close() {
        if case .connected(let channel) = state { channel.close(promise: nil) }
        state = .closed
    }

    private func connect() {
        state = .connecting
        let this = NIOLoopBound(self, eventLoop: loop)
        opened().whenComplete { result in
            switch result {
            case .success(let channel): this.value.opened(channel)
            case .failure(let error): this.value.connectFailed(connectFailure(error))
            }
        }
    }

    private func opened() -> EventLoopFuture<any Channel> {
        let this = NIOLoopBound(self, eventLoop: loop)
        do {
            return try access.open(loop) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let client = this.value
                    try channel.pipeline.syncOperations.addHandler(
                        StreamHandler(client, trusted: client.access.trustedOwners))
                }
            }
        } catch {
            return loop.makeFailedFuture(error)
        }
    }

    private func opened(_ channel: any Channel) {
        if case .closed = state { return channel.close(promise: nil) }
        guard channel.isActive else { return connectFailed("the connection was closed at once") }
        state = .connected(channel)
        pump()
    }

    private func connectFailed(_ detail: String) {
        if case .closed = state { return }
        state = .idle
        nextAttempt = clock() + access.pause
        for question in pipeline.takeAll() {
            answered(question, .failure(.unreachable("\(access.name): \(detail)")))
        }
    }

    /// The channel is closed: its outstanding questions are asked again, once.
    fileprivate func disconnected(_ channel: any Channel) {
        guard case .connected(let current) = state, current === channel else { return }
        state = .idle
        for question in pipeline.disconnected() {
            answered(question, .failure(.unreachable("\(access.name): the connection broke")))
        }
        if !pipeline.isEmpty { connect() }
    }

    fileprivate func received(_ bytes: UnsafeRawBufferPointer, by reader: inout ReplyReader, on channel: any Channel) {
        // A portmapper that sends what nobody asked for could go on for ever.
        guard !pipeline.inFlight.isEmpty else { return channel.close(promise: nil) }
        received(reader.feed(bytes) { pipeline.dumpVersion(of: $0) })
    }

    private func received(_ messages: [ReplyReader.Message]) {
        // The bytes completed no reply: one is arriving.
        if messages.isEmpty { pipeline.partArrived(at: clock()) }
        for message in messages {
            switch message {
            case .whole(let bytes): bytes.withUnsafeBytes { received($0) }
            case .listing(let xid, let listing):
                guard let question = pipeline.replied(xid: xid) else { continue }
                answered(question, answer(listing, to: question))
            }
        }
        pumpSoon()
    }

    private func received(_ message: UnsafeRawBufferPointer) {
        do {
            let reply = try Reply(decoding: message)
            if reply.body.isUnavailable, pipeline.askOlder(insteadOf: reply.xid) { return }
            let version = pipeline.dumpVersion(of: reply.xid)
            guard let question = pipeline.replied(xid: reply.xid) else { return }
            answered(question, answer(reply.body, to: question, version))
        } catch {
            // This is no reply, and answers no question: a question that it was meant for fails at its deadline.
            return
        }
    }

    private func answer(_ body: Reply.Body, to question: Question, _ version: PortmapperVersion?) -> Answer {
        guard case .success(let results) = body else { return refused("\(body)") }
        if let version { return registryAnswer(results, version) }
        do {
            let result = try results.withUnsafeBytes { try PortmapperResult(decoding: $0, of: question.call) }
            return answer(result)
        } catch {
            return refused("\(error)")
        }
    }

    private func registryAnswer(_ results: [UInt8], _ version: PortmapperVersion) -> Answer {
        if let listing, listing.decoded.version == version, listing.results.isSame(as: results) {
            return .success(.registry(listing.decoded))
        }
        var decoder = ListingDecoder(trusted: access.trustedOwners, version: version)
        results.withUnsafeBytes { decoder.feed($0) }
        guard let decoded = decoder.result else { return answer(nil, to: .registry) }
        listing = (results, decoded)
        return .success(.registry(decoded))
    }

    private func answer(_ listing: Listing?, to question: Question) -> Answer {
        guard question == .registry, let listing else { return refused("what it sent is no listing") }
        return .success(.registry(listing))
    }

    private func answer(_ result: PortmapperResult) -> Answer {
        switch result {
        case .port(let port): .success(.port(port))
        case .boolean(let isDone): .success(.registration(isDone))
        case .void, .address, .mappings, .registrations, .addressList: refused("it answered another question")
        }
    }

    private func refused(_ detail: String) -> Answer { .failure(.refused("\(access.name): \(detail)")) }
}

extension Reply.Body {
    /// Whether the portmapper lacks the version or the procedure that was asked.
    fileprivate var isUnavailable: Bool {
        switch self {
        case .programUnavailable, .programMismatch, .procedureUnavailable: true
        case .success, .garbageArguments, .systemError, .rpcMismatch, .authError: false
        }
    }
}

extension [UInt8] {
    /// Compares with memcmp: `==` compares byte by byte.
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

/// Cuts the stream from a portmapper into messages.
private final class StreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let client: RpcbindClient
    private var reader: ReplyReader

    init(_ client: RpcbindClient, trusted: TrustedOwners) {
        self.client = client
        reader = ReplyReader(trusted: trusted)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        unwrapInboundIn(data).withUnsafeReadableBytes { client.received($0, by: &reader, on: context.channel) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        client.delivered()
    }

    func channelInactive(context: ChannelHandlerContext) {
        client.disconnected(context.channel)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
