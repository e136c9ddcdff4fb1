import Glibc
import System

/// What is asked of the file system.
public enum FileSystem {
    /// The file's bytes; one byte more than `bytesMax` tells that there are too many.
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

    /// `path` as seen from `folder`; an absolute one as it is.
    static func join(_ folder: String, _ path: String) -> String {
        if path.hasPrefix("/") || folder.isEmpty { return path }
        return folder.hasSuffix("/") ? folder + path : "\(folder)/\(path)"
    }

    /// What stands before the last slash; empty where there is none.
    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
