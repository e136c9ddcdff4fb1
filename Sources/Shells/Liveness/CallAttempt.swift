import Addresses
import Calls
import Clock
import Configuration
import Glibc
import NIOCore
import NIOPosix
import ONCRPC

/// One call under way, to a port of another host: its socket and its timers. Belongs to one event loop.
///
/// ```
/// opening ──▶ called ──reply──▶ over
///    │          └──error, end of the stream, timeout──▶ over: no answer
///    └──▶ over (a connection suffices; or none: failed)
/// ```
final class CallAttempt<Answer> {
    /// The port that is called, and how.
    struct Place {
        var address: IPAddress
        /// The index of the interface of a link-local address; 0: none.
        var zone: UInt32 = 0
        var port: UInt16
        var transport: Transport
        /// The address of this host that calls; `nil`: the kernel chooses. One of the other family has no effect.
        var source: IPAddress?
        var timeout: Duration
    }

    enum Outcome {
        /// The connection is made, and no call was wanted.
        case connected
        case answered(Answer)
        case timedOut
        case failed(any Error)
        /// The connection ended without a byte.
        case unanswered
        /// The connection's bytes are no reply to the call.
        case garbled
    }

    /// A lost datagram is sent again once.
    private static var retransmissionDelay: TimeAmount { .milliseconds(300) }
    private static var latenessMax: TimeAmount { .milliseconds(100) }
    /// Anybody can forge the refusal of a datagram (RFC 5927, 4.1), but not keep the answer away, which counts if it
    /// comes within this time.
    private static var refusalDelay: TimeAmount { .milliseconds(100) }
    /// The replies that are awaited are a header, with a verifier at the most, and few results.
    private static var replyBytesMax: Int { 1024 }

    private let place: Place
    private let loop: any EventLoop
    private let message: [UInt8]?
    private let read: (UnsafeRawBufferPointer) -> Answer?
    private let ended: (Outcome) -> Void
    private var channel: (any Channel)?
    private var timers: [Scheduled<Void>] = []
    private var isOver = false
    private var isRefused = false
    /// Bytes of a stream that are no whole record yet.
    fileprivate var hasBytes = false

    /// - Parameters:
    ///   - message: the call; `nil`: a connection suffices.
    ///   - read: tells what a message answers; `nil`: it is no reply to the call.
    init(
        _ place: Place, calling message: [UInt8]?, on loop: any EventLoop,
        read: @escaping (UnsafeRawBufferPointer) -> Answer?, ended: @escaping (Outcome) -> Void
    ) {
        self.place = place
        self.message = message
        self.loop = loop
        self.read = read
        self.ended = ended
    }

    func begin() {
        let this = NIOLoopBound(self, eventLoop: loop)
        let timeout = TimeAmount.nanoseconds(place.timeout.nanoseconds)
        awaitTimeout(at: .now() + timeout)
        do {
            // The attempt's own timer ends it sooner, unless the loop stalls.
            try opened(within: timeout * 2).whenComplete { result in
                switch result {
                case .success(let channel): this.value.opened(channel)
                case .failure(let error): this.value.end(.failed(error))
                }
            }
        } catch {
            end(.failed(error))
        }
    }

    /// A timer that fires much later than it should tells of a stall of this process: a reply may wait in the socket.
    private func awaitTimeout(at due: NIODeadline) {
        let this = NIOLoopBound(self, eventLoop: loop)
        let timer = loop.scheduleTask(deadline: due) {
            guard NIODeadline.now() > due + Self.latenessMax else { return this.value.endUnanswered(.timedOut) }
            this.value.awaitTimeout(at: .now() + Self.latenessMax)
        }
        timers.append(timer)
    }

    /// Ends the attempt without an answer.
    func cancel() {
        isOver = true
        for timer in timers { timer.cancel() }
        timers = []
        channel?.close(promise: nil)
        channel = nil
    }

    fileprivate func end(_ outcome: Outcome) {
        guard !isOver else { return }
        cancel()
        ended(outcome)
    }

    /// The end of an attempt that got no whole reply.
    fileprivate func endUnanswered(_ outcome: Outcome) { end(hasBytes ? .garbled : outcome) }

    private func opened(within timeout: TimeAmount) throws -> EventLoopFuture<any Channel> {
        let address = try Self.socketAddress(place.address, port: place.port, zone: place.zone)
        let source = try place.source.flatMap { $0.isIPv4 == place.address.isIPv4 ? $0 : nil }
            .map { try Self.socketAddress($0, port: 0, zone: place.zone) }
        switch place.transport {
        case .udp: return openedSocket(to: address, from: source)
        case .tcp: return connected(to: address, from: source, within: timeout)
        }
    }

    private static func socketAddress(_ address: IPAddress, port: UInt16, zone: UInt32) throws -> SocketAddress {
        let plain = try SocketAddress(packedIPAddress: ByteBuffer(bytes: address.networkBytes), port: Int(port))
        guard zone != 0, case .v6(let six) = plain else { return plain }
        var zoned = six.address
        zoned.sin6_scope_id = zone
        return SocketAddress(zoned)
    }

    private func openedSocket(to address: SocketAddress, from source: SocketAddress?) -> EventLoopFuture<any Channel> {
        let this = NIOLoopBound(self, eventLoop: loop)
        let bootstrap = DatagramBootstrap(group: loop)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.replyBytesMax))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try this.value.use(channel, with: DatagramHandler(this.value, from: address))
                }
            }
        guard let source else { return bootstrap.connect(to: address) }
        return bootstrap.bind(to: source).flatMap { channel in channel.connect(to: address).map { channel } }
    }

    private func connected(
        to address: SocketAddress, from source: SocketAddress?, within timeout: TimeAmount
    ) -> EventLoopFuture<any Channel> {
        let this = NIOLoopBound(self, eventLoop: loop)
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try this.value.use(channel, with: StreamHandler(this.value, recordBytesMax: Self.replyBytesMax))
                }
            }
        return (source.map(bootstrap.bind) ?? bootstrap).connect(to: address)
    }

    private func use(_ channel: any Channel, with handler: some ChannelInboundHandler) throws {
        self.channel = channel
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    private func opened(_ channel: any Channel) {
        guard !isOver else { return channel.close(promise: nil) }
        guard let message else { return end(.connected) }
        call(message, by: channel)
    }

    private func call(_ bytes: [UInt8], by channel: any Channel) {
        var message = ByteBuffer()
        if place.transport == .tcp { message.writeInteger(RecordReader.header(forRecordBytes: bytes.count)) }
        message.writeBytes(bytes)
        let this = NIOLoopBound(self, eventLoop: loop)
        // A packet filter of this host may keep the message. The channel closes then, and not before this is told.
        let written = loop.makePromise(of: Void.self)
        written.futureResult.whenFailure { this.value.endUnanswered(.failed($0)) }
        channel.writeAndFlush(message, promise: written)
        guard place.transport == .udp else { return }
        let again = message
        timers.append(
            loop.scheduleTask(in: Self.retransmissionDelay) {
                this.value.channel?.writeAndFlush(again, promise: nil)
            })
    }

    /// A datagram. One that is no reply is forged, for the called program would tell the xid: the answer may still
    /// come.
    fileprivate func received(datagram: UnsafeRawBufferPointer) {
        if let answer = read(datagram) { end(.answered(answer)) }
    }

    /// The port of a datagram was refused, perhaps.
    fileprivate func refused(_ error: any Error) {
        guard !isOver, !isRefused else { return }
        isRefused = true
        let this = NIOLoopBound(self, eventLoop: loop)
        timers.append(loop.scheduleTask(in: Self.refusalDelay) { this.value.end(.failed(error)) })
    }

    fileprivate func received(record: UnsafeRawBufferPointer) {
        end(read(record).map(Outcome.answered) ?? .garbled)
    }
}

extension IOError {
    /// Whether the other host, or a router, may have caused the error (icmp(7)). Otherwise the call didn't leave this
    /// host: it lacks descriptors, memory, a route or an address, or a packet filter of its own kept the call.
    var isOfOtherHost: Bool {
        [ECONNRESET, EPIPE, ECONNREFUSED, EHOSTUNREACH, EHOSTDOWN, ENOPROTOOPT, ETIMEDOUT].contains(errnoCode)
    }
}

/// Takes the datagrams of the address that was asked.
private final class DatagramHandler<Answer>: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let attempt: CallAttempt<Answer>
    private let sender: SocketAddress

    init(_ attempt: CallAttempt<Answer>, from sender: SocketAddress) {
        self.attempt = attempt
        self.sender = sender
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        // The socket is bound before it is connected: until then it takes datagrams of every sender.
        guard envelope.remoteAddress == sender else { return }
        envelope.data.withUnsafeReadableBytes { attempt.received(datagram: $0) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // NIO leaves the channel open then.
        if let refusal = error as? IOError, refusal.errnoCode == ECONNREFUSED { return attempt.refused(error) }
        attempt.end(.failed(error))
    }

    func channelInactive(context: ChannelHandlerContext) { attempt.end(.unanswered) }
}

/// Takes the first record of the stream.
private final class StreamHandler<Answer>: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let attempt: CallAttempt<Answer>
    private var reader: RecordReader

    init(_ attempt: CallAttempt<Answer>, recordBytesMax: Int) {
        self.attempt = attempt
        reader = RecordReader(recordBytesMax: recordBytesMax)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        attempt.hasBytes = true
        let records = unwrapInboundIn(data).withUnsafeReadableBytes { reader.feed($0) }
        if let first = records.first {
            first.withUnsafeBytes { attempt.received(record: $0) }
        } else if reader.fault != nil {
            attempt.end(.garbled)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { attempt.endUnanswered(.failed(error)) }

    func channelInactive(context: ChannelHandlerContext) { attempt.endUnanswered(.unanswered) }
}
