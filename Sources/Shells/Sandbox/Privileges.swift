import CSandbox
import Glibc

/// What this thread, and those that it starts from now on, may still do; nothing of it can be taken back.
public enum Privileges {
    public enum Capability: Sendable {
        /// The firewall.
        case netAdmin
    }

    /// Becomes the user, for good. Said before ``keep(only:)``, while there is one thread.
    public static func become(_ user: ServiceUser) throws(SandboxError) {
        try check(csb_become(user.id, user.group), "becoming user \(user.name)")
    }

    /// Gives up every capability but this one, and the hope to win any by exec.
    public static func keep(only capability: Capability?) throws(SandboxError) {
        let kept: UInt64 =
            switch capability {
            case .netAdmin: 1 << UInt64(CSB_CAP_NET_ADMIN)
            case nil: 0
            }
        try check(csb_keep_capabilities(kept), "giving up capabilities")
        try check(csb_hide(), "hiding from other processes")
    }

    /// SIGKILL when the parent ends. Said after the last change of credentials, which takes it back.
    public static func endWithParent(_ parent: Int32) throws(SandboxError) {
        try check(csb_die_with(parent), "asking to end with the parent")
    }

    public static func rename(_ name: String) throws(SandboxError) {
        try check(csb_name(name), "renaming the process")
    }

    /// Landlock: reads files, and does nothing else with them, nor with TCP.
    /// - Returns: `false` if the kernel has none.
    public static func onlyReadFiles() throws(SandboxError) -> Bool {
        try isDone(csb_landlock(nil, 0, 0), "restricting access to files")
    }

    /// Landlock: reads files, and writes beneath these folders alone.
    /// - Parameter usesAbstractSockets: it talks to others' unix sockets that have no place in the file system.
    /// - Returns: `false` if the kernel has none.
    public static func onlyWriteFiles(
        beneath folders: [String], usesAbstractSockets: Bool = false
    ) throws(SandboxError) -> Bool {
        let paths = folders.map { strdup($0) }
        defer { for path in paths { free(path) } }
        let pointers = paths.map { UnsafePointer($0) }
        return try isDone(
            csb_landlock(pointers, pointers.count, usesAbstractSockets ? 1 : 0),
            "restricting access to files beneath \(folders.joined(separator: ", "))")
    }

    /// Seccomp: the system calls that the netfilter process makes.
    /// - Returns: `false` if the kernel has none.
    public static func onlyNetfilterCalls() throws(SandboxError) -> Bool {
        try isDone(csb_seccomp(), "restricting system calls")
    }

    /// Seccomp: no system calls that neither the daemon nor its libraries need.
    /// - Parameter makesUnixSockets: otherwise it has those that it needs already.
    /// - Returns: `false` if the kernel has none.
    public static func noUnneededCalls(makesUnixSockets: Bool) throws(SandboxError) -> Bool {
        try isDone(csb_deny_calls(makesUnixSockets ? 1 : 0), "restricting system calls")
    }

    private static func isDone(_ number: Int32, _ doing: String) throws(SandboxError) -> Bool {
        if number == ENOSYS { return false }
        try check(number, doing)
        return true
    }
}
