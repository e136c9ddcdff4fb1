import Clock
import Control
import FleetRecords
import Glibc
import NIOCore
import NIOPosix

/// The socket by which rpcwarden-fleet hears what happens here, and tells what other nodes say. It has one user: a new
/// connection takes the place of the former one. Belongs to one event loop.
///
/// Nothing waits for it: what it doesn't read is dropped, and told anew later.
final class FleetLink {
    struct Surroundings {
        var facts: () -> DaemonFacts
        var status: () -> NodeStatus
        /// Messages of some places from this one on, and the place after them.
        var page: (_ place: Int) -> (messages: [DaemonMessage], next: Int?)
        var heard: ([SidecarMessage]) -> Void
        var connected: () -> Void
        var lost: (String) -> Void
        var failed: (String) -> Void
    }

    /// The group of the sidecar's user.
    static let groupName = "rpcwarden-fleet"
    private static let statusPeriod = Duration.seconds(10)
    /// Messages that are encoded at once.
    private static let messagesAtOnce = 256
    private static let listenBacklog = 8
    private static let pause = TimeAmount.milliseconds(1)

    private let loop: any EventLoop
    private let socket: ControlSocket
    private let surroundings: Surroundings
    private let group = getgrnam(groupName)?.pointee.gr_gid
    private var listener: (any Channel)?
    private var sidecar: (any Channel)?
    private var outlet = FleetOutlet()
    private var factsTold: DaemonFacts?
    private var nextStatus = Instant.zero
    private var isPumping = false
    private var isRefusalTold = false

    init(on loop: any EventLoop, _ socket: ControlSocket, _ surroundings: Surroundings) {
        self.loop = loop
        self.socket = socket
        self.surroundings = surroundings
    }

    /// Times at which the sidecar read so slowly that everything had to be told anew.
    var overruns: Int { outlet.overruns }
    var waitingCount: Int { outlet.waitingCount }

    func listen() -> EventLoopFuture<Void> {
        let this = NIOLoopBound(self, eventLoop: loop)
        return ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: Int32(Self.listenBacklog))
            // What it writes is read once it is known who it is.
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(FleetHandler(this.value))
                }
            }
            .withBoundSocket(socket.descriptor)
            .map { this.value.listener = $0 }
    }

    func close() {
        listener?.close(promise: nil)
        sidecar?.close(promise: nil)
        unlink(socket.path)
    }

    func tell(_ message: DaemonMessage) {
        guard sidecar != nil else { return }
        outlet.tell(message)
        pumpSoon()
    }

    /// Policy or settings were replaced: everything is told anew, and what the sidecar needs to know of this daemon, if that
    /// has changed.
    func beginResync() {
        let facts = surroundings.facts()
        if let sidecar, facts != factsTold { sayHello(facts, on: sidecar) }
        outlet.beginResync()
        pumpSoon()
    }

    func timeAdvanced(to now: Instant) {
        guard sidecar != nil, now >= nextStatus else { return }
        nextStatus = now + Self.statusPeriod
        tell(.status(surroundings.status()))
    }

    // MARK: The connection

    fileprivate func opened(_ channel: any Channel) {
        let this = NIOLoopBound((link: self, channel: channel), eventLoop: loop)
        PeerCredentials.future(of: channel).whenComplete { result in
            let (link, channel) = this.value
            do {
                try link.admit(channel, result.get())
            } catch {
                channel.close(promise: nil)
            }
        }
    }

    private func admit(_ channel: any Channel, _ peer: PeerCredentials) throws {
        guard ControlServer.admits(peer) || group != nil && peer.gid == group else {
            channel.close(promise: nil)
            guard !isRefusalTold else { return }
            isRefusalTold = true
            return surroundings.failed(
                "fleet.socket: uid \(peer.uid) may not use it; only root, rpcwarden and the group \(Self.groupName)")
        }
        let former = sidecar
        sidecar = channel
        former?.close(promise: nil)
        surroundings.connected()
        sayHello(surroundings.facts(), on: channel)
        outlet.opened()
        channel.setOption(.autoRead, value: true).whenFailure { _ in channel.close(promise: nil) }
        nextStatus = .zero
        pump()
    }

    private func sayHello(_ facts: DaemonFacts, on channel: any Channel) {
        factsTold = facts
        channel.write(Self.buffer([.hello(facts)]), promise: nil)
    }

    fileprivate func closed(_ channel: any Channel) {
        guard sidecar === channel else { return }
        sidecar = nil
        outlet.closed()
        surroundings.lost("rpcwarden-fleet is gone")
    }

    fileprivate func received(_ messages: [SidecarMessage], from channel: any Channel) {
        if sidecar === channel { surroundings.heard(messages) }
    }

    fileprivate func failed(_ detail: String, of channel: any Channel) {
        if sidecar === channel { surroundings.failed("rpcwarden-fleet: \(detail)") }
        channel.close(promise: nil)
    }

    // MARK: Writing

    /// Once for all that one event tells. A moment later, so that calls are answered in between.
    private func pumpSoon() {
        guard !isPumping else { return }
        isPumping = true
        let this = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.pause) {
            this.value.isPumping = false
            this.value.pump()
        }
    }

    /// Writes until the socket takes no more; one page at a time, so that calls are answered in between.
    fileprivate func pump() {
        guard let sidecar, sidecar.isWritable else { return }
        let messages = outlet.take(Self.messagesAtOnce, page: surroundings.page)
        guard !messages.isEmpty || outlet.phase != .live else { return }
        sidecar.writeAndFlush(Self.buffer(messages), promise: nil)
        pumpSoon()
    }

    private static func buffer(_ messages: [DaemonMessage]) -> ByteBuffer {
        var buffer = ByteBuffer()
        for message in messages { buffer.writeBytes(message.line) }
        return buffer
    }
}

/// Cuts what the sidecar writes into lines.
private final class FleetHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let link: FleetLink
    private var rest: [UInt8] = []

    init(_ link: FleetLink) { self.link = link }

    func channelActive(context: ChannelHandlerContext) { link.opened(context.channel) }

    func channelInactive(context: ChannelHandlerContext) { link.closed(context.channel) }

    func channelWritabilityChanged(context: ChannelHandlerContext) { link.pump() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        rest += unwrapInboundIn(data).readableBytesView
        var messages: [SidecarMessage] = []
        var start = rest.startIndex
        do {
            while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
                messages.append(try SidecarMessage(line: rest[start..<end]))
                start = end + 1
            }
        } catch {
            return link.failed("a message can't be read: \(error)", of: context.channel)
        }
        rest.removeFirst(start)
        guard rest.count <= SidecarMessage.bytesMax else {
            return link.failed("a message is longer than \(SidecarMessage.bytesMax) bytes", of: context.channel)
        }
        if !messages.isEmpty { link.received(messages, from: context.channel) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
