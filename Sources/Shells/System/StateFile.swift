import Glibc

/// An error reading or writing a file of the state folder.
public struct StateFileError: Error, CustomStringConvertible {
    public var doing: String
    public var path: String
    public var errno: Int32

    public init(doing: String, path: String, errno: Int32) {
        self.doing = doing
        self.path = path
        self.errno = errno
    }

    public var description: String { "\(doing) \(path): \(Errno(errno))" }
}

/// A file that outlives its process; it is replaced as a whole, or stays as it was.
public struct StateFile: Sendable {
    public var folder: String
    public var name: String
    /// Who may read it.
    private let mode: mode_t
    /// Nobody else writes into the folder: a draft there was left by a process that ended.
    private let ownsFolder: Bool
    /// `nil`: this process's user and group.
    public var owner: (user: uid_t, group: gid_t)?

    public init(folder: String, name: String, mode: mode_t = 0o600, ownsFolder: Bool = false) {
        self.folder = folder
        self.name = name
        self.mode = mode
        self.ownsFolder = ownsFolder
    }

    public init(path: String, mode: mode_t = 0o600) {
        let parts = PathParts(path)
        self.init(folder: parts.folder ?? ".", name: parts.name, mode: mode)
    }

    public var path: String { folder == "/" ? "/\(name)" : "\(folder)/\(name)" }

    /// - Parameter bytesMax: one byte more than this is read: it shows that the file is too long.
    /// - Returns: `nil` if there is no such file.
    public func contents(max bytesMax: Int) throws(StateFileError) -> [UInt8]? {
        // Nothing here may block a boot: pipes and symbolic links are refused.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("opening", path)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("reading", path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            let isFolder = status.st_mode & S_IFMT == S_IFDIR
            throw StateFileError(doing: "reading", path: path, errno: isFolder ? EISDIR : EINVAL)
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= bytesMax {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("reading", path)
            }
            bytes += chunk[..<count]
        }
        return bytes
    }

    /// Writes a temporary file, and renames it once it is on the disk.
    public func write(_ bytes: [UInt8]) throws(StateFileError) {
        let (descriptor, temporaryPath) = try draft()
        do throws(StateFileError) {
            defer { close(descriptor) }
            try write(bytes, to: descriptor, temporaryPath)
            if let owner, fchown(descriptor, owner.user, owner.group) != 0 { throw failure("writing", temporaryPath) }
            // The umask may have taken some of it.
            guard fchmod(descriptor, mode) == 0, fsync(descriptor) == 0 else {
                throw failure("writing", temporaryPath)
            }
            guard rename(temporaryPath, path) == 0 else { throw failure("replacing", path) }
        } catch {
            unlink(temporaryPath)
            throw error
        }
        try syncFolder()
    }

    /// Makes a new file beside this one. Another user may have made one of its name, in a folder that all may write.
    private func draft() throws(StateFileError) -> (descriptor: Int32, path: String) {
        var draft = "\(path).new"
        if ownsFolder { removeLeft(draft) }
        for _ in 0..<Self.draftsMax {
            let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
            if descriptor >= 0 { return (descriptor, draft) }
            guard errno == EEXIST else { break }
            draft = "\(path).new-" + String(UInt32.random(in: 0 ... .max), radix: 16)
        }
        throw failure("opening", draft)
    }

    private func removeLeft(_ draft: String) {
        var status = stat()
        guard lstat(draft, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid() else { return }
        unlink(draft)
    }

    /// The random names are all taken only where somebody guesses them.
    private static let draftsMax = 8

    private func write(
        _ bytes: [UInt8], to descriptor: Int32, _ temporaryPath: String
    ) throws(StateFileError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { bytes in
                Glibc.write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure("writing", temporaryPath) }
            written += count
        }
    }

    /// Syncs the folder, so that the new name survives a crash.
    private func syncFolder() throws(StateFileError) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("opening", folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("writing", folder) }
    }

    private func failure(_ doing: String, _ path: String) -> StateFileError {
        StateFileError(doing: doing, path: path, errno: errno)
    }
}
