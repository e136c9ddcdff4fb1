import Gate
import Glibc
import System

/// An error reading or writing the file of the saved guard.
struct GuardFileError: Error, CustomStringConvertible {
    var doing: String
    var path: String
    var errno: Int32

    var description: String { "\(doing) \(path): \(Errno(errno))" }
}

/// The file that holds the saved guard; it is replaced as a whole, or stays as it was.
struct GuardFile: Sendable {
    var folder: String

    var path: String { "\(folder)/guard" }
    private var temporaryPath: String { "\(folder)/guard.new" }

    /// Why the saved guard can't be read.
    enum Unreadable: Error, CustomStringConvertible {
        case file(GuardFileError)
        case text(path: String, SavedGuardText.Fault)

        var description: String {
            switch self {
            case .file(let error): "\(error)"
            case .text(let path, let fault): "\(path): \(fault); the daemon replaces the file"
            }
        }
    }

    /// - Returns: `nil` if there is no saved guard yet.
    func read(memory: Bool = true) throws(Unreadable) -> SavedGuard? {
        let bytes: [UInt8]?
        do {
            bytes = try contents()
        } catch {
            throw .file(error)
        }
        guard let bytes else { return nil }
        do {
            return try SavedGuardText.read(bytes, memory: memory)
        } catch {
            throw .text(path: path, error)
        }
    }

    private func contents() throws(GuardFileError) -> [UInt8]? {
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
            throw GuardFileError(doing: "reading", path: path, errno: EINVAL)
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        // One byte more than the limit shows that the file is too long.
        while bytes.count <= SavedGuardText.bytesMax {
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
    func write(_ bytes: [UInt8]) throws(GuardFileError) {
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW
        let descriptor = open(temporaryPath, flags, 0o600)
        guard descriptor >= 0 else { throw failure("opening", temporaryPath) }
        do throws(GuardFileError) {
            defer { close(descriptor) }
            try write(bytes, to: descriptor)
            guard fsync(descriptor) == 0 else { throw failure("writing", temporaryPath) }
        } catch {
            unlink(temporaryPath)
            throw error
        }
        guard rename(temporaryPath, path) == 0 else { throw failure("replacing", path) }
        try syncFolder()
    }

    private func write(_ bytes: [UInt8], to descriptor: Int32) throws(GuardFileError) {
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
    private func syncFolder() throws(GuardFileError) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("opening", folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failure("writing", folder) }
    }

    private func failure(_ doing: String, _ path: String) -> GuardFileError {
        GuardFileError(doing: doing, path: path, errno: errno)
    }
}
