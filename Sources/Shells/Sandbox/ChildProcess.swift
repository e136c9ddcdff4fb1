import CSandbox
import Glibc

/// A forked child process, and the channel to it.
public struct ChildProcess<Channel: Sendable>: Sendable {
    public let processID: Int32
    public let channel: Channel

    /// Waits for the process's end; it ends when the channel is closed.
    /// - Returns: the status of `waitpid`.
    @discardableResult
    public func awaitEnd() -> Int32 {
        var status: Int32 = 0
        while waitpid(processID, &status, 0) < 0, errno == EINTR {}
        return status
    }

    /// Waits for a second at the most, since the process may be compromised.
    /// - Returns: whether the process has ended.
    @discardableResult
    public func awaitEndBriefly() -> Bool {
        for _ in 0..<100 {
            if waitpid(processID, nil, WNOHANG) != 0 { return true }
            usleep(10_000)
        }
        return false
    }
}

extension ChildProcess {
    fileprivate static func fork(
        _ here: Channel, keeping one: Int32, _ other: Int32, running body: () -> Int32
    ) throws(SandboxError) -> Self {
        let parent = getpid()
        let child = csb_fork()
        guard child >= 0 else { throw SandboxError(doing: "making a process", errno: -child) }
        guard child > 0 else {
            for number in [SIGTERM, SIGINT, SIGHUP, SIGPIPE] { signal(number, SIG_IGN) }
            guard csb_die_with(parent) == 0, csb_close_all_but(one, other) == 0 else { _exit(1) }
            _exit(body())
        }
        return Self(processID: child, channel: here)
    }
}

extension ChildProcess where Channel == Sandbox.Channel {
    /// Runs `body` in a child process; its result is the exit status. The child ends with this process at the latest.
    ///
    /// There must be no other thread yet: a lock held by one would stay locked in the child.
    public static func fork(
        messageBytesMax: Int, waitMax: Duration, running body: (Channel) -> Int32
    ) throws(SandboxError) -> Self {
        let ends = try Channel.pair(messageBytesMax: messageBytesMax, waitMax: waitMax)
        let child = try fork(ends.first, keeping: ends.second.input, ends.second.output) { body(ends.second) }
        ends.second.close()
        return child
    }
}

extension ChildProcess where Channel == PacketChannel {
    /// The same, with a channel that carries descriptors.
    public static func fork(messageBytesMax: Int, running body: (Channel) -> Int32) throws(SandboxError) -> Self {
        let ends = try PacketChannel.pair(messageBytesMax: messageBytesMax)
        let descriptor = ends.second.descriptor
        let child = try fork(ends.first, keeping: descriptor, descriptor) { body(ends.second) }
        ends.second.close()
        return child
    }
}
