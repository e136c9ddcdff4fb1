import Glibc
import HostNames
import ONCRPC
import Privilege
import Sandbox
import Synchronization
import System

/// The process that makes the connections that the network-facing process may not make: to rpcbind's socket, and
/// to no other that could be requested; and to resolvers of host names, including parsing their replies.
///
/// It has no capability, and no policy. Each name under way has a thread, since resolving may take half a minute.
final class ConnectorProcess: Sendable {
    private let channel: PacketChannel
    private let underWay = Mutex(0)

    /// The most requests under way: as many as a ``HostNameBook`` makes, and some more.
    private static let underWayMax = 64

    /// Forks the connector off, before this process has any other thread, and before it has read anything.
    ///
    /// - Parameter user: the user that the connector becomes; `nil`: it runs as the right user already.
    static func start(user: ServiceUser?) throws(SandboxError) -> ChildProcess<PacketChannel> {
        let parent = getpid()
        return try ChildProcess.fork(messageBytesMax: ConnectorCall.messageBytesMax) { channel in
            run(user, channel, parent: parent)
        }
    }

    /// - Returns: the exit status.
    private static func run(_ user: ServiceUser?, _ channel: PacketChannel, parent: Int32) -> Int32 {
        let process = ConnectorProcess(channel)
        do {
            try Privileges.rename("rpcwarden-con")
            HostNames.neverSearch()
            if let user { try Privileges.become(user) }
            try Privileges.keep(only: nil)
            try Privileges.endWithParent(parent)
            // If either is missing, the netfilter process reports it.
            _ = try Privileges.onlyWriteFiles(beneath: [])
            _ = try Privileges.noUnneededCalls(makesUnixSockets: true)
        } catch {
            process.answer(.failed("\(error)"))
            return 1
        }
        do {
            try process.serve()
        } catch Channel.Failure.ended {
            return 0
        } catch {
            writeError("rpcwarden: the connector stops: \(error)")
            return 1
        }
    }

    init(_ channel: PacketChannel) {
        self.channel = channel
    }

    /// Serves until the other process is gone.
    func serve() throws -> Never {
        guard case .begin(let rpcbindPath) = try nextCall() else { throw XDRError.invalid(0) }
        answer(.ready)
        while true {
            switch try nextCall() {
            // The path is set once: an attacker in the other process can't have another socket.
            case .begin: throw XDRError.invalid(0)
            case .connect(let number): connect(to: rpcbindPath, for: number)
            case .resolve(let number, let name):
                start(or: .unresolved(number, code: EAI_AGAIN)) { Self.resolved(name, for: number) }
            case .lifetime(let number, let name):
                start(or: .lifetime(number, HostNames.lifetimeUnknown)) {
                    .lifetime(number, HostNames.lifetime(of: name))
                }
            }
        }
    }

    private func nextCall() throws -> ConnectorCall {
        let packet = try channel.receive()
        if let descriptor = packet.descriptor { close(descriptor) }
        return try packet.bytes.withUnsafeBytes { bytes throws(XDRError) in try ConnectorCall(decoding: bytes) }
    }

    private func answer(_ reply: ConnectorReply, with descriptor: Int32? = nil) {
        do {
            try channel.send(reply.encoded, with: descriptor, mayWait: true)
        } catch {
            // The other process is gone; the next read of the channel ends this process.
        }
    }

    /// Connects without waiting. EAGAIN: the listener's queue is full of connections that rpcbind has not accepted yet.
    private func connect(to path: String, for number: UInt32) {
        do throws(Errno) {
            let descriptor = try UnixSocket.stream(to: path, waits: false)
            answer(.connected(number, errno: 0), with: descriptor)
            close(descriptor)
        } catch {
            answer(.connected(number, errno: error.code))
        }
    }

    private static func resolved(_ name: String, for number: UInt32) -> ConnectorReply {
        do throws(HostNames.Failure) {
            return .resolved(number, try HostNames.resolve(name))
        } catch {
            return .unresolved(number, code: error.code)
        }
    }

    /// - Parameter excuse: the reply if no thread can be made.
    private func start(or excuse: ConnectorReply, _ work: @escaping @Sendable () -> ConnectorReply) {
        let hasRoom = underWay.withLock { count in
            guard count < Self.underWayMax else { return false }
            count += 1
            return true
        }
        guard hasRoom else { return answer(excuse) }
        let code = BlockingCall.start { [self] in
            let reply = work()
            underWay.withLock { $0 -= 1 }
            answer(reply)
        }
        guard code != 0 else { return }
        writeError("rpcwarden: can't start a thread to resolve host names: \(Errno(code))")
        underWay.withLock { $0 -= 1 }
        answer(excuse)
    }
}
