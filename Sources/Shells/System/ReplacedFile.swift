import Glibc

/// The file that a user's path leads to, which is to be replaced as a whole.
///
/// A link stays one: what it leads to is replaced. What isn't a regular file is no such file, and neither is a process's
/// open file, to which `/dev/stdout` leads.
public struct ReplacedFile {
    public enum Fault: Error, Hashable, Sendable {
        case notRegular
        case linkToNothing
        case unreachable(Errno)
    }

    /// Where the links lead.
    public let path: String
    /// `nil`: there is no such file yet.
    public let status: stat?

    public init(named name: String) throws(Fault) {
        var status = stat()
        // Following the link here lets the kernel refuse one that another user made in a folder for all, as /tmp.
        guard stat(name, &status) == 0 else {
            path = try Self.newFile(name, Errno())
            self.status = nil
            return
        }
        guard status.st_mode & S_IFMT == S_IFREG, !Self.leadsThroughProc(name) else { throw .notRegular }
        guard let target = Self.resolved(name), Self.isSame(target, status) else { throw .unreachable(Errno(ELOOP)) }
        path = target
        self.status = status
    }

    private static func newFile(_ name: String, _ failure: Errno) throws(Fault) -> String {
        guard failure.code == ENOENT, !name.isEmpty, !name.hasSuffix("/") else { throw .unreachable(failure) }
        var status = stat()
        guard lstat(name, &status) != 0 else { throw .linkToNothing }
        return name
    }

    /// Whether the path is still the file that was looked at, and no link that was put there meanwhile.
    private static func isSame(_ path: String, _ status: stat) -> Bool {
        var other = stat()
        return lstat(path, &other) == 0 && other.st_dev == status.st_dev && other.st_ino == status.st_ino
    }

    /// As the kernel's MAXSYMLINKS.
    private static let linksMax = 40

    /// Whether one of the links is the kernel's own, which leads to a process's open file.
    private static func leadsThroughProc(_ name: String) -> Bool {
        var path = name
        for _ in 0..<linksMax {
            let parts = PathParts(path)
            guard let folder = resolved(parts.folder ?? ".") else { return false }
            if folder == "/proc" || folder.hasPrefix("/proc/") { return true }
            guard let target = target(ofLink: "\(folder)/\(parts.name)") else { return false }
            path = target.hasPrefix("/") ? target : "\(folder)/\(target)"
        }
        return true
    }

    private static func resolved(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }

    private static func target(ofLink path: String) -> String? {
        var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }
}
