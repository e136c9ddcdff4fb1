import Glibc
import PolicyFile

/// Bytes of a file, or of what a command prints.
final class InputFile {
    private let descriptor: Int32
    private let name: String
    /// Of the command, until it has been waited for.
    private var pid: pid_t?

    init(path: String) throws(InputError) {
        descriptor = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
        name = path
        guard descriptor >= 0 else { throw InputError(subject: path, code: errno) }
    }

    /// What the command prints; its complaints go where ours do.
    init(command words: [String]) throws(InputError) {
        name = words.first ?? ""
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw InputError(subject: name, code: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[1]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var child: pid_t = 0
        let code = posix_spawnp(&child, name, &actions, nil, &arguments, environ)
        guard code == 0 else {
            close(ends[0])
            throw InputError(subject: name, code: code)
        }
        descriptor = ends[0]
        pid = child
    }

    deinit {
        close(descriptor)
        _ = wait()
    }

    /// The command's exit status as wait(2) has it; 0 where there is none.
    private func wait() -> Int32 {
        guard let pid else { return 0 }
        self.pid = nil
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status
    }

    /// The next bytes; none at the end.
    func read(_ countMax: Int = 65_536) throws(InputError) -> [UInt8] {
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

    func readAll(max bytesMax: Int) throws(InputError) -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let chunk = try read()
            if chunk.isEmpty { return bytes }
            bytes += chunk
            guard bytes.count <= bytesMax else { throw InputError(subject: "more than \(bytesMax) bytes", code: EFBIG) }
        }
    }

    /// Calls `body` for each line; true for one of more than `bytesMax` bytes, which comes empty.
    func forEachLine(max bytesMax: Int = 65_536, _ body: ([UInt8], _ isTooLong: Bool) -> Void) throws(InputError) {
        var line: [UInt8] = []
        var isTooLong = false
        while true {
            let chunk = try read()
            if chunk.isEmpty { break }
            for part in chunk.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
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

    /// The names in a folder but for hidden ones, in the order of their bytes.
    static func names(in folder: String) throws(InputError) -> [String] {
        do {
            return try FileSystem.names(in: folder)
        } catch {
            throw InputError(subject: folder, code: error.errno)
        }
    }

    static func exists(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0
    }

    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}

struct InputError: Error {
    var subject: String
    var code: Int32

    var isMissing: Bool { code == ENOENT }
    var message: String { "\"\(subject)\": \(String(cString: strerror(code)))" }
}
