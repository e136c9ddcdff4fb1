import Clock
import FleetRecords
import NIOCore
import NIOPosix

/// The way to the daemon: its socket, connected again and again, lines both ways.
///
///     waiting ─due─▶ connecting ─▶ open ─closed, too slow, refused─▶ waiting
final class DaemonLink {
    enum Event {
        case opened
        case line(ByteBufferView)
        case closed(String)
    }

    private let loop: any EventLoop
    private let path: String
    private let told: (Event) -> Void
    private var channel: (any Channel)?
    private var isConnecting = false
    private var retryAt = Instant.zero
    private var delay = DaemonLink.delayFirst
    /// Bytes that the daemon has not read.
    private var owed = 0

    static let delayFirst = Duration.milliseconds(250)
    static let delayMax = Duration.seconds(5)
    /// A daemon of another version may be replaced, but not soon.
    static let delayOfRefusal = Duration.seconds(60)
    /// A whole pair's grants take 8 MiB. A daemon that leaves more unread is told everything anew.
    static let owedBytesMax = 16 << 20

    init(on loop: any EventLoop, path: String, told: @escaping (Event) -> Void) {
        self.loop = loop
        self.path = path
        self.told = told
    }

    var isOpen: Bool { channel != nil }

    func timeAdvanced(at now: Instant) {
        guard channel == nil, !isConnecting, retryAt <= now else { return }
        isConnecting = true
        retryAt = now + delay
        delay = min(delay * 2, Self.delayMax)
        let this = NIOLoopBound(self, eventLoop: loop)
        ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DaemonHandler(link: this.value))
                }
            }
            .connect(unixDomainSocketPath: path)
            .whenComplete { result in
                this.value.isConnecting = false
                if case .failure(let error) = result { this.value.told(.closed("\(error)")) }
            }
    }

    func send(_ messages: some Sequence<SidecarMessage>) {
        guard let channel else { return }
        var buffer = channel.allocator.buffer(capacity: 0)
        for message in messages { buffer.writeBytes(message.line) }
        guard buffer.readableBytes > 0 else { return }
        owed += buffer.readableBytes
        guard owed <= Self.owedBytesMax else { return close("the daemon leaves too much unread") }
        let count = buffer.readableBytes
        let this = NIOLoopBound(self, eventLoop: loop)
        channel.writeAndFlush(buffer).whenComplete { _ in this.value.owed -= count }
    }

    /// The daemon said hello: the next attempt comes soon again.
    func accepted() { delay = Self.delayFirst }

    /// - Parameter now: the daemon is of another version, so the next attempt comes late.
    func refuse(_ reason: String, at now: Instant) {
        retryAt = now + Self.delayOfRefusal
        close(reason)
    }

    func close(_ reason: String) {
        guard let channel else { return }
        self.channel = nil
        channel.close(promise: nil)
        told(.closed(reason))
    }

    // MARK: From the handler

    fileprivate func opened(_ channel: any Channel) {
        self.channel = channel
        owed = 0
        told(.opened)
    }

    fileprivate func received(_ line: ByteBufferView, on channel: any Channel) {
        if self.channel === channel { told(.line(line)) }
    }

    fileprivate func closed(_ channel: any Channel, _ reason: String) {
        if self.channel === channel { close(reason) }
    }
}

/// Splits what the daemon sends into lines of bounded length.
private final class DaemonHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let link: DaemonLink
    private var rest = ByteBuffer()

    init(link: DaemonLink) { self.link = link }

    func channelActive(context: ChannelHandlerContext) { link.opened(context.channel) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var chunk = unwrapInboundIn(data)
        rest.writeBuffer(&chunk)
        while let end = rest.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) {
            let line = rest.readableBytesView[..<end]
            rest.moveReaderIndex(to: end + 1)
            link.received(line, on: context.channel)
        }
        guard rest.readableBytes <= DaemonMessage.bytesMax else {
            return link.closed(context.channel, "the daemon sent a line of more than \(DaemonMessage.bytesMax) bytes")
        }
        rest.discardReadBytes()
    }

    func channelInactive(context: ChannelHandlerContext) {
        link.closed(context.channel, "the daemon closed the connection")
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        link.closed(context.channel, "\(error)")
    }
}
