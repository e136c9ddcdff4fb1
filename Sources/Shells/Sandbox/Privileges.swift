import CSandbox
import Glibc

/// Restricts the rights of this thread, and of threads that it starts later; no restriction can be undone.
public enum Privileges {
    public enum Capability: Sendable {
        /// The right to change the firewall.
        case netAdmin
    }

    /// Becomes the user, for good. Call it before ``keep(only:)``, while there is one thread.
    public static func become(_ user: ServiceUser) throws(SandboxError) {
        try check(csb_become(user.id, user.group), "becoming user \(user.name)")
    }

    /// Gives up every capability but this one, and the possibility of gaining others by exec.
    public static func keep(only capability: Capability?) throws(SandboxError) {
        let kept: UInt64 =
            switch capability {
            case .netAdmin: 1 << UInt64(CSB_CAP_NET_ADMIN)
            case nil: 0
            }
        try check(csb_keep_capabilities(kept), "giving up capabilities")
        try check(csb_hide(), "hiding from other processes")
    }

    /// Sends SIGKILL to this process when the parent ends. Call it after the last change of credentials, which
    /// resets it.
    public static func endWithParent(_ parent: Int32) throws(SandboxError) {
        try check(csb_die_with(parent), "asking to end with the parent")
    }

    public static func rename(_ name: String) throws(SandboxError) {
        try check(csb_name(name), "renaming the process")
    }

    /// Landlock: only permits reading files; forbids TCP.
    /// - Returns: `false` if the kernel lacks Landlock.
    public static func onlyReadFiles() throws(SandboxError) -> Bool {
        try isDone(csb_landlock(nil, 0, 0), "restricting access to files")
    }

    /// Landlock: permits reading files, and writing only beneath these folders.
    /// - Parameter usesAbstractSockets: permits connecting to other processes' unix sockets in the abstract
    ///   namespace.
    /// - Returns: `false` if the kernel lacks Landlock.
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

    /// Seccomp: only permits the system calls of the netfilter process.
    /// - Returns: `false` if the kernel lacks seccomp.
    public static func onlyNetfilterCalls() throws(SandboxError) -> Bool {
        try isDone(csb_seccomp(), "restricting system calls")
    }

    /// Seccomp: forbids system calls that neither the daemon nor its libraries need.
    /// - Parameter makesUnixSockets: permits making unix sockets; without it, the process must have those that it
    ///   needs already.
    /// - Returns: `false` if the kernel lacks seccomp.
    public static func noUnneededCalls(makesUnixSockets: Bool) throws(SandboxError) -> Bool {
        try isDone(csb_deny_calls(makesUnixSockets ? 1 : 0), "restricting system calls")
    }

    private static func isDone(_ number: Int32, _ doing: String) throws(SandboxError) -> Bool {
        if number == ENOSYS { return false }
        try check(number, doing)
        return true
    }
}
