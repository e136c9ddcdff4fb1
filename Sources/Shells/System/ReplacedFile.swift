import Glibc

/// The file that a user's path leads to, which is to be replaced as a whole.
///
/// A link stays one: what it leads to is replaced. What isn't a regular file is no such file, and neither is a process's
/// open file, to which `/dev/stdout` leads.
///
/// A link of another user is not followed, if it is the path's last part, or what such a link leads to: root would
/// replace a file of that user's choice. Not covered are the folders on the way. Who may write in one of them can put a
/// link to another folder there: name no path through a folder of somebody whom you don't trust.
public struct ReplacedFile {
    public enum Fault: Error, Hashable, Sendable {
        case notRegular
        case linkToNothing
        /// The link at `path` belongs to a user who is neither root nor the process's own.
        case notOwn(path: String, owner: uid_t)
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
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notRegular }
        path = try Self.target(of: name)
        // The links may have changed meanwhile.
        guard Self.isSame(path, status) else { throw .unreachable(Errno(ELOOP)) }
        self.status = status
    }

    /// Writes the file as a whole, with the owner and the mode that it has.
    ///
    /// Only root can keep the owner. In a folder for all, as /tmp, another user may have made the file to read what comes:
    /// there it becomes a new one, unless it is the process's own.
    /// - Parameter mode: of a new file.
    public func write(_ bytes: [UInt8], newMode mode: mode_t) throws(StateFileError) {
        var file = StateFile(path: path, mode: kept.map { $0.st_mode & 0o7777 } ?? mode)
        if geteuid() == 0 { file.owner = kept.map { ($0.st_uid, $0.st_gid) } }
        try file.write(bytes)
    }

    private var kept: stat? {
        guard let status, status.st_uid != geteuid() else { return status }
        var folder = stat()
        let isForAll = stat(PathParts(path).folder ?? ".", &folder) == 0 && folder.st_mode & S_ISVTX != 0
        return isForAll ? nil : status
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

    /// Where the links lead. One of the kernel's own leads to a process's open file.
    private static func target(of name: String) throws(Fault) -> String {
        var path = name
        for _ in 0..<linksMax {
            let parts = PathParts(path)
            guard let folder = resolvedPath(parts.folder ?? ".") else { throw .unreachable(Errno()) }
            if folder == "/proc" || folder.hasPrefix("/proc/") { throw .notRegular }
            path = folder == "/" ? "/\(parts.name)" : "\(folder)/\(parts.name)"
            var status = stat()
            guard lstat(path, &status) == 0 else { throw .unreachable(Errno()) }
            guard status.st_mode & S_IFMT == S_IFLNK else { return path }
            guard status.st_uid == 0 || status.st_uid == geteuid() else {
                throw .notOwn(path: path, owner: status.st_uid)
            }
            guard let target = target(ofLink: path) else { throw .unreachable(Errno()) }
            path = target.hasPrefix("/") ? target : "\(folder)/\(target)"
        }
        throw .unreachable(Errno(ELOOP))
    }

    private static func target(ofLink path: String) -> String? {
        var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }
}
