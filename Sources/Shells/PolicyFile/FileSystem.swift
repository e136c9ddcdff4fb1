import Configuration
import Glibc
import System

/// File system access for reading configuration and policy.
public enum FileSystem {
    /// What is read at a path; anything else is refused.
    enum Kind {
        case file
        case fileOrFolder
        /// A pipe or a device too, to its end: only what the user of a command names.
        case anything
    }

    /// A folder with more entries isn't read.
    static let folderEntriesMax = 100_000

    static func answer(for path: String, as kind: Kind = .fileOrFolder) -> FileAnswer {
        do throws(Errno) {
            // Without O_NONBLOCK the opening of a pipe waits for its writer.
            let descriptor = open(path, O_RDONLY | O_CLOEXEC | (kind == .anything ? 0 : O_NONBLOCK))
            guard descriptor >= 0 else { throw Errno() }
            defer { close(descriptor) }
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw Errno() }
            switch status.st_mode & S_IFMT {
            case S_IFDIR where kind == .file: throw Errno(EISDIR)
            case S_IFDIR:
                let names = try Folder.names(in: path, max: folderEntriesMax)
                    .filter { $0.hasSuffix(".yaml") || $0.hasSuffix(".yml") }
                return .folder(Array(names.prefix(PolicyLoader.policyFilesMax + 1)))
            case S_IFREG: break
            case _ where kind == .anything: break
            default: throw Errno(EINVAL)
            }
            return .file(try bytes(from: descriptor, max: SourceFile.bytesMax + 1))
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
