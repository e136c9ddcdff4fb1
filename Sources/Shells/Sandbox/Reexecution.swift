import CSandbox
import Glibc

/// Executes this program again in the same process, with the same child.
///
/// Where the unit's seccomp filter refuses capset(2), capabilities are dropped by execve(2): for a user other than
/// root it keeps only the ambient ones, and those have been cleared.
public enum Reexecution {
    private static let variable = "RPCWARDEN_NETFILTER_PROCESS"

    /// Whether no system call can give up the capabilities, and the program has not been executed again yet.
    public static var isNeeded: Bool { geteuid() != 0 && csb_capabilities_are_fixed() == EPERM }

    /// Returns only with an error.
    public static func execute(with child: ChildProcess<Channel>) -> SandboxError {
        let failure = { (number: Int32) in SandboxError(doing: "executing the program anew", errno: number) }
        let number = csb_clear_ambient()
        guard number == 0 else { return failure(number) }
        let channel = child.channel
        for end in [channel.input, channel.output] where fcntl(end, F_SETFD, 0) != 0 { return failure(errno) }
        setenv(variable, "\(child.processID) \(channel.input) \(channel.output)", 1)
        var arguments = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv("/proc/self/exe", arguments)
        return failure(errno)
    }

    /// The child from before the program was executed again.
    public static func child(messageBytesMax: Int, waitMax: Duration) throws(SandboxError) -> ChildProcess<Channel>? {
        guard let text = getenv(variable).map({ String(cString: $0) }) else { return nil }
        unsetenv(variable)
        let numbers = text.split(separator: " ").compactMap { Int32($0) }
        guard numbers.count == 3, waitpid(numbers[0], nil, WNOHANG) == 0,
            numbers[1...].allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 })
        else { throw SandboxError(doing: "taking over the process that \(variable) names (\(text))", errno: ECHILD) }
        let channel = Channel(
            input: numbers[1], output: numbers[2], messageBytesMax: messageBytesMax, waitMax: waitMax)
        return ChildProcess(processID: numbers[0], channel: channel)
    }
}
