import CSandbox
import Glibc

/// A process that this one forked off, and the channel to it.
public struct ChildProcess: Sendable {
    public let processID: Int32
    public let channel: Channel

    /// Runs `body` in a process of its own, which ends with what it returns, and at the latest with this one.
    ///
    /// There must be no other thread yet: a lock that one holds would stay held in the child.
    public static func fork(
        messageBytesMax: Int, waitMax: Duration, running body: (Channel) -> Int32
    ) throws(SandboxError) -> ChildProcess {
        let ends = try Channel.pair(messageBytesMax: messageBytesMax, waitMax: waitMax)
        let parent = getpid()
        let child = csb_fork()
        guard child >= 0 else { throw SandboxError(doing: "making a process", errno: -child) }
        guard child > 0 else {
            for number in [SIGTERM, SIGINT, SIGHUP, SIGPIPE] { signal(number, SIG_IGN) }
            guard csb_die_with(parent) == 0, csb_close_all_but(ends.second.input, ends.second.output) == 0
            else { _exit(1) }
            _exit(body(ends.second))
        }
        ends.second.close()
        return ChildProcess(processID: child, channel: ends.first)
    }

    /// Waits for its end: it ends when the channel is closed.
    /// - Returns: how it ended, as `waitpid` tells.
    @discardableResult
    public func awaitEnd() -> Int32 {
        var status: Int32 = 0
        while waitpid(processID, &status, 0) < 0, errno == EINTR {}
        return status
    }
}
