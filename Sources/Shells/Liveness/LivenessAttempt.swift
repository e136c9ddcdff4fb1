import Addresses
import Calls
import Clock
import Configuration
import NIOCore
import NIOPosix
import ONCRPC

/// One question under way: its socket and its timers. Belongs to one event loop.
///
/// ```
/// opening ──▶ asked ──reply──▶ over
///    │          └──error, end of the stream, timeout──▶ over: dead
///    └──▶ over (a connection suffices; or none: dead)
/// ```
final class LivenessAttempt {
    /// A lost datagram is sent again once.
    static let retransmissionDelay: TimeAmount = .milliseconds(300)
    /// A NULL call has no results: its reply is a header, with a verifier at the most.
    private static let replyBytesMax = 1024

    private let probe: LivenessBook.Probe
    private let loop: any EventLoop
    private let ended: (_ isAlive: Bool) -> Void
    /// Chosen at random, so that other hosts can't guess it.
    private let xid = UInt32.random(in: .min ... .max)
    private var channel: (any Channel)?
    private var timers: [Scheduled<Void>] = []
    private var isOver = false

    init(_ probe: LivenessBook.Probe, on loop: any EventLoop, ended: @escaping (_ isAlive: Bool) -> Void) {
        self.probe = probe
        self.loop = loop
        self.ended = ended
    }

    private var transport: Transport { probe.key.question.service.transport }

    func begin() {
        let this = NIOLoopBound(self, eventLoop: loop)
        let timeout = TimeAmount.nanoseconds(probe.timeout.nanoseconds)
        timers.append(loop.scheduleTask(in: timeout) { this.value.end(isAlive: false) })
        do {
            try opened(within: timeout).whenComplete { result in
                switch result {
                case .success(let channel): this.value.opened(channel)
                case .failure: this.value.end(isAlive: false)
                }
            }
        } catch {
            end(isAlive: false)
        }
    }

    /// Ends the attempt without an answer.
    func cancel() {
        isOver = true
        for timer in timers { timer.cancel() }
        timers = []
        channel?.close(promise: nil)
        channel = nil
    }

    fileprivate func end(isAlive: Bool) {
        guard !isOver else { return }
        cancel()
        ended(isAlive)
    }

    private func opened(within timeout: TimeAmount) throws -> EventLoopFuture<any Channel> {
        let question = probe.key.question
        let address = try Self.socketAddress(question.address, port: question.service.port)
        // An address of the other family can't ask.
        let source = try probe.source.flatMap { $0.isIPv4 == question.address.isIPv4 ? $0 : nil }
            .map { try Self.socketAddress($0, port: 0) }
        switch transport {
        case .udp: return openedSocket(to: address, from: source)
        case .tcp: return connected(to: address, from: source, within: timeout)
        }
    }

    private static func socketAddress(_ address: IPAddress, port: UInt16) throws -> SocketAddress {
        try SocketAddress(packedIPAddress: ByteBuffer(bytes: address.networkBytes), port: Int(port))
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
        switch probe.key.how {
        case .connect, .off: end(isAlive: true)
        case .call: ask(channel)
        }
    }

    private func ask(_ channel: any Channel) {
        let question = probe.key.question
        let header = CallHeader(
            xid: xid, program: question.program.rawValue, version: question.version, procedure: 0)  // RFC 5531, 12.1
        var encoder = XDREncoder()
        header.encode(into: &encoder)
        var message = ByteBuffer()
        if transport == .tcp { message.writeInteger(RecordReader.header(forRecordBytes: encoder.bytes.count)) }
        message.writeBytes(encoder.bytes)
        channel.writeAndFlush(message, promise: nil)
        guard transport == .udp else { return }
        let again = message
        let this = NIOLoopBound(self, eventLoop: loop)
        timers.append(
            loop.scheduleTask(in: Self.retransmissionDelay) {
                this.value.channel?.writeAndFlush(again, promise: nil)
            })
    }

    fileprivate func received(_ message: UnsafeRawBufferPointer) -> ReplyVerdict {
        ReplyVerdict(of: message, to: xid)
    }
}

/// Takes the datagrams of the address that was asked.
private final class DatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let attempt: LivenessAttempt
    private let sender: SocketAddress

    init(_ attempt: LivenessAttempt, from sender: SocketAddress) {
        self.attempt = attempt
        self.sender = sender
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        // The socket is bound before it is connected: until then it takes datagrams of every sender.
        guard envelope.remoteAddress == sender else { return }
        switch envelope.data.withUnsafeReadableBytes({ attempt.received($0) }) {
        case .alive: attempt.end(isAlive: true)
        case .dead: attempt.end(isAlive: false)
        // Forged, for the asked program would tell the xid: the answer may still come.
        case .foreign: break
        }
    }

    /// Nobody listens at the port, for one.
    func errorCaught(context: ChannelHandlerContext, error: any Error) { attempt.end(isAlive: false) }

    func channelInactive(context: ChannelHandlerContext) { attempt.end(isAlive: false) }
}

/// Takes the first record of the stream.
private final class StreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let attempt: LivenessAttempt
    private var reader: RecordReader

    init(_ attempt: LivenessAttempt, recordBytesMax: Int) {
        self.attempt = attempt
        reader = RecordReader(recordBytesMax: recordBytesMax)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let records = unwrapInboundIn(data).withUnsafeReadableBytes { reader.feed($0) }
        if let first = records.first {
            attempt.end(isAlive: first.withUnsafeBytes { attempt.received($0) } == .alive)
        } else if reader.fault != nil {
            attempt.end(isAlive: false)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { attempt.end(isAlive: false) }

    func channelInactive(context: ChannelHandlerContext) { attempt.end(isAlive: false) }
}
