import Configuration
import Glibc
import System

/// File system access for reading configuration and policy.
public enum FileSystem {
    /// - Parameter waits: whether a pipe or a device is read to its end; otherwise it is refused.
    static func answer(for path: String, waits: Bool = true) -> FileAnswer {
        do throws(Errno) {
            let descriptor = open(path, O_RDONLY | O_CLOEXEC | (waits ? 0 : O_NONBLOCK))
            guard descriptor >= 0 else { throw Errno() }
            defer { close(descriptor) }
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw Errno() }
            if !waits, status.st_mode & S_IFMT != S_IFDIR, status.st_mode & S_IFMT != S_IFREG { throw Errno(EINVAL) }
            guard status.st_mode & S_IFMT == S_IFDIR else {
                return .file(try bytes(from: descriptor, max: SourceFile.bytesMax + 1))
            }
            let names = try Folder.names(in: path).filter { $0.hasSuffix(".yaml") || $0.hasSuffix(".yml") }
            return .folder(Array(names.prefix(PolicyLoader.policyFilesMax + 1)))
        } catch {
            return .failure(errno: error.code)
        }
    }

    private static func bytes(from descriptor: Int32, max bytesMax: Int) throws(Errno) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count < bytesMax {
            let count = read(descriptor, &chunk, min(chunk.count, bytesMax - bytes.count))
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw Errno()
            }
            bytes += chunk[..<count]
        }
        return bytes
    }

    /// `path` relative to `folder`; an absolute path stays as it is.
    static func join(_ folder: String, _ path: String) -> String {
        if path.hasPrefix("/") || folder.isEmpty { return path }
        return folder.hasSuffix("/") ? folder + path : "\(folder)/\(path)"
    }

    /// The part after the last slash.
    static func lastName(of path: String) -> String { PathParts(path).name }

    /// The part before the last slash; empty without a slash.
    static func folder(of path: String) -> String {
        PathParts(path).folder ?? ""
    }
}
