import FoundationEssentials
import Glibc
import NIOCore
import NIOPosix

/// `struct ucred` of unix(7), SO_PEERCRED: Swift's Glibc doesn't show it.
public struct PeerCredentials: Sendable {
    public var pid: pid_t
    public var uid: uid_t
    public var gid: gid_t

    /// The supplementary groups of the process at the other end when it connected (SO_PEERGROUPS, since Linux 4.13).
    static func groups(of descriptor: Int32) -> [gid_t] {
        var groups: [gid_t] = []
        // The kernel tells the size that it needs; the groups of a connection don't change.
        for _ in 0..<2 {
            var length = socklen_t(groups.count * MemoryLayout<gid_t>.size)
            if getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, &groups, &length) == 0 {
                return Array(groups.prefix(Int(length) / MemoryLayout<gid_t>.size))
            }
            guard errno == ERANGE else { return [] }
            groups = [gid_t](repeating: .max, count: Int(length) / MemoryLayout<gid_t>.size)
        }
        return []
    }

    /// Of the process at the other end of the unix socket.
    public static func future(of channel: any Channel) -> EventLoopFuture<PeerCredentials> {
        guard let options = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        return options.unsafeGetSocketOption(level: .socket, name: .init(rawValue: SO_PEERCRED))
    }
}

/// The answer to a call.
public enum ControlAnswer: Sendable {
    case reply(ControlReply)
    /// A reply that may be long, encoded on another thread: no call at port 111 waits for it.
    case encoded([UInt8])
    /// Many parts, each made when the one before has left; `nil` is the end.
    case parts(@Sendable () -> [UInt8]?)

    public init(encoding reply: ControlReply) {
        do {
            self = .encoded([UInt8](try JSONEncoder().encode(reply)))
        } catch {
            self = .reply(ControlReply(failure: "the reply can't be encoded: \(error)"))
        }
    }
}

/// Serves the control socket: one call and one reply for each connection.
///
/// The socket's mode admits its owner and group; the peer's credentials are checked, too: root, the daemon's own
/// user, or a member of the daemon's own group. If the daemon runs as `nobody`, only root is admitted.
public final class ControlServer {
    private let loop: any EventLoop
    private let socket: ControlSocket
    private let refused: Set<Int32>
    private let answer: ([UInt8]) -> EventLoopFuture<ControlAnswer>
    private var channel: (any Channel)?
    fileprivate var connections = 0

    /// Enough for operators and monitoring; further connections are refused.
    fileprivate static let connectionsMax = 32
    fileprivate static let callBytesMax = 4096
    fileprivate static let patience: TimeAmount = .seconds(5)

    /// - Parameter refusing: processes of the daemon's own user that may not use the socket.
    public convenience init(
        on loop: any EventLoop, socket: ControlSocket, refusing: Set<Int32> = [],
        answer: @escaping (ControlCall) -> EventLoopFuture<ControlAnswer>
    ) {
        self.init(
            on: loop, socket: socket, refusing: refusing,
            lineAnswer: { line in
                do {
                    return answer(try JSONDecoder().decode(ControlCall.self, from: Data(line)))
                } catch {
                    let why = "the control call can't be read; are command and daemon of one version?"
                    return loop.makeSucceededFuture(.reply(ControlReply(failure: why)))
                }
            })
    }

    /// - Parameter lineAnswer: takes the line as it came.
    public init(
        on loop: any EventLoop, socket: ControlSocket, refusing: Set<Int32> = [],
        lineAnswer: @escaping ([UInt8]) -> EventLoopFuture<ControlAnswer>
    ) {
        refused = refusing
        self.loop = loop
        self.socket = socket
        answer = lineAnswer
    }

    public func listen() -> EventLoopFuture<Void> {
        let this = NIOLoopBound(self, eventLoop: loop)
        return ServerBootstrap(group: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        IdleStateHandler(allTimeout: Self.patience), ControlHandler(server: this.value),
                    ])
                }
            }
            .withBoundSocket(socket.descriptor)
            .map { this.value.channel = $0 }
    }

    public func close() {
        channel?.close(promise: nil)
        unlink(socket.path)
    }

    fileprivate func reply(
        to bytes: [UInt8], from peer: PeerCredentials, in groups: [gid_t]
    ) -> EventLoopFuture<ControlAnswer> {
        guard Self.admits(peer, in: groups), !refused.contains(peer.pid) else {
            return refuse("uid \(peer.uid) may not control the daemon; run the command as root")
        }
        return answer(bytes)
    }

    private func refuse(_ why: String) -> EventLoopFuture<ControlAnswer> {
        loop.makeSucceededFuture(.reply(ControlReply(failure: why)))
    }

    /// Whether the peer is root, or has the daemon's user or group; these don't count for `nobody`, a user that
    /// other daemons share.
    ///
    /// - Parameter groups: its supplementary groups.
    public static func admits(
        _ peer: PeerCredentials, in groups: [gid_t] = [], user: uid_t = geteuid(), group: gid_t = getegid(),
        nobody: uid_t = ControlServer.nobody
    ) -> Bool {
        peer.uid == 0 || user != nobody && (peer.uid == user || peer.gid == group || groups.contains(group))
    }

    public static let nobody = getpwnam("nobody")?.pointee.pw_uid ?? 65_534
}

/// Reads one line, writes one line, closes.
private final class ControlHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let server: ControlServer
    private var line: [UInt8] = []
    private var isDone = false
    /// Whether the call is being answered; a reload takes some time.
    private var isAnswering = false

    init(server: ControlServer) {
        self.server = server
    }

    func channelActive(context: ChannelHandlerContext) {
        server.connections += 1
        if server.connections > ControlServer.connectionsMax { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        server.connections -= 1
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isDone else { return }
        line += unwrapInboundIn(data).readableBytesView
        if let end = line.firstIndex(of: UInt8(ascii: "\n")) {
            isDone = true
            answer(Array(line[..<end]), context)
        } else if line.count > ControlServer.callBytesMax {
            context.close(promise: nil)
        }
    }

    private func answer(_ call: [UInt8], _ context: ChannelHandlerContext) {
        let this = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        isAnswering = true
        PeerCredentials.future(of: context.channel).flatMapThrowing { peer in
            let pipeline = this.value.context.pipeline.syncOperations
            let groups = try pipeline.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { descriptor in
                PeerCredentials.groups(of: descriptor)
            }
            return (peer, groups ?? [])
        }.flatMap { peer, groups in
            this.value.handler.server.reply(to: call, from: peer, in: groups)
        }.whenComplete { result in
            let (handler, context) = this.value
            do {
                handler.isAnswering = false
                try handler.write(result.get(), context)
            } catch {
                context.close(promise: nil)
            }
        }
    }

    private func write(_ answer: ControlAnswer, _ context: ChannelHandlerContext) throws {
        let bytes: [UInt8]
        switch answer {
        case .reply(let reply): bytes = [UInt8](try JSONEncoder().encode(reply))
        case .encoded(let encoded): bytes = encoded
        case .parts(let next): return Self.write(next, context.channel)
        }
        let channel = context.channel
        channel.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { _ in channel.close(promise: nil) }
    }

    /// A client that doesn't read is left after ``ControlServer/patience``.
    private static func write(_ next: @escaping @Sendable () -> [UInt8]?, _ channel: any Channel) {
        guard channel.isActive, let bytes = next() else { return channel.close(promise: nil) }
        channel.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { result in
            if case .failure = result { return channel.close(promise: nil) }
            write(next, channel)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent, !isAnswering { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
