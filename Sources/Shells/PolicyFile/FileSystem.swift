import Glibc

/// Why the kernel refused a file.
public struct FileFailure: Error {
    public var errno: Int32

    var isMissing: Bool { errno == ENOENT }
    /// errno's text.
    var message: String { strerror(errno).map { String(cString: $0) } ?? "error \(errno)" }
}

/// The three questions that are asked of the file system.
public enum FileSystem {
    /// The file's bytes; one byte more than `bytesMax` tells that there are too many.
    static func bytes(of path: String, max bytesMax: Int = SourceFile.bytesMax) throws(FileFailure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileFailure(errno: errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= bytesMax {
            let count = read(descriptor, &chunk, min(chunk.count, bytesMax + 1 - bytes.count))
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw FileFailure(errno: errno)
            }
            bytes += chunk[..<count]
        }
        return bytes
    }

    static func isFolder(_ path: String) throws(FileFailure) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0 else { throw FileFailure(errno: errno) }
        return status.st_mode & S_IFMT == S_IFDIR
    }

    /// The names in a folder but for hidden ones, in the order of their bytes.
    public static func names(in folder: String) throws(FileFailure) -> [String] {
        guard let stream = opendir(folder) else { throw FileFailure(errno: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(stream) {
            let capacity = MemoryLayout.size(ofValue: entry.pointee.d_name)
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: capacity) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        guard errno == 0 else { throw FileFailure(errno: errno) }
        return names.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
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
