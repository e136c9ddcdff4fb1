import Glibc
import System

/// The bytes of a file, or of a command's output.
public final class InputFile {
    private let descriptor: Int32
    private let name: String
    /// Process ID of the command, until it has been waited for.
    private var pid: pid_t?

    public init(path: String) throws(InputError) {
        descriptor = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
        name = path
        guard descriptor >= 0 else { throw InputError(subject: path, code: errno) }
    }

    /// Reads the command's output; its errors go to this process's stderr.
    ///
    /// - Parameter path: the file that the command reads, which a failure names; `nil`: the command itself.
    public init(command words: [String], reading path: String? = nil) throws(InputError) {
        let program = words.first ?? ""
        name = path ?? program
        do throws(Errno) {
            let output = try Pipe()
            defer { close(output.writeEnd) }
            do throws(Errno) {
                pid = try ChildProgram.start(program, words: words, output: output.writeEnd)
            } catch {
                close(output.readEnd)
                throw error
            }
            descriptor = output.readEnd
        } catch {
            throw InputError(subject: path.map { "\(program) -dc \($0)" } ?? program, code: error.code)
        }
    }

    deinit {
        close(descriptor)
        _ = wait()
    }

    /// The command's exit status as wait(2) returns it; 0 without a command.
    private func wait() -> Int32 {
        guard let pid else { return 0 }
        self.pid = nil
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status
    }

    /// The next bytes; empty at the end.
    public func read(_ countMax: Int = 65_536) throws(InputError) -> [UInt8] {
        var chunk = [UInt8](repeating: 0, count: countMax)
        while true {
            let count = Glibc.read(descriptor, &chunk, countMax)
            if count > 0 { return Array(chunk[..<count]) }
            if count == 0 {
                guard wait() == 0 else { throw InputError(subject: name, code: EIO) }
                return []
            }
            guard errno == EINTR else { throw InputError(subject: name, code: errno) }
        }
    }

    public func readAll(max bytesMax: Int) throws(InputError) -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let chunk = try read()
            if chunk.isEmpty { return bytes }
            bytes += chunk
            guard bytes.count <= bytesMax else { throw InputError(subject: "more than \(bytesMax) bytes", code: EFBIG) }
        }
    }

    /// Calls `body` for each line, without NUL bytes: file systems may leave them where a machine lost its power. A line of more than `bytesMax` bytes is passed as empty, with `isTooLong` set.
    public func forEachLine(max bytesMax: Int = 65_536, _ body: ([UInt8], _ isTooLong: Bool) -> Void) throws(InputError)
    {
        var line: [UInt8] = []
        var isTooLong = false
        while true {
            let chunk = try read()
            if chunk.isEmpty { break }
            let text = chunk.contains(0) ? chunk.filter { $0 != 0 } : chunk
            for part in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
                if part.offset > 0 {
                    body(line, isTooLong)
                    line.removeAll(keepingCapacity: true)
                    isTooLong = false
                }
                if line.count + part.element.count > bytesMax {
                    line.removeAll(keepingCapacity: true)
                    isTooLong = true
                }
                if !isTooLong { line += part.element }
            }
        }
        if !line.isEmpty || isTooLong { body(line, isTooLong) }
    }

    /// The names in a folder except hidden ones, sorted by their bytes.
    public static func names(in folder: String) throws(InputError) -> [String] {
        do {
            return try Folder.names(in: folder)
        } catch {
            throw InputError(subject: folder, code: error.code)
        }
    }

    /// Which regular file the path leads to; `nil`: none.
    public static func identity(_ path: String) -> FileIdentity? {
        var status = stat()
        guard path != "-", stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    public static func exists(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0
    }

    /// A file that can be read more than once; a symbolic link is what it leads to.
    public static func isRegular(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    public static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}

/// The same for all paths of a file.
public struct FileIdentity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64
}

public struct InputError: Error {
    public var subject: String
    public var code: Int32

    public init(subject: String, code: Int32) {
        self.subject = subject
        self.code = code
    }

    public var isMissing: Bool { code == ENOENT }
    public var message: String { "\"\(subject)\": \(Errno(code))" }
}
