import Glibc
import System

/// File system access for reading configuration and policy.
public enum FileSystem {
    /// The file's bytes; one byte more than `bytesMax` shows that the file is too long.
    static func bytes(of path: String, max bytesMax: Int = SourceFile.bytesMax) throws(Errno) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Errno() }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= bytesMax {
            let count = read(descriptor, &chunk, min(chunk.count, bytesMax + 1 - bytes.count))
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw Errno()
            }
            bytes += chunk[..<count]
        }
        return bytes
    }

    static func isFolder(_ path: String) throws(Errno) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0 else { throw Errno() }
        return status.st_mode & S_IFMT == S_IFDIR
    }

    /// `path` relative to `folder`; an absolute path stays as it is.
    static func join(_ folder: String, _ path: String) -> String {
        if path.hasPrefix("/") || folder.isEmpty { return path }
        return folder.hasSuffix("/") ? folder + path : "\(folder)/\(path)"
    }

    /// The part before the last slash; empty without a slash.
    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
