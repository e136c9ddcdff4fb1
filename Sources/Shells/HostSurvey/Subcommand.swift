import Glibc
import System

/// Runs another program until its end, or until a time limit.
struct Subcommand {
    struct Result {
        /// The program's output, at most ``Subcommand/outputBytesMax`` bytes of each stream.
        var output: String
        var errors: String
        /// The exit status; 127 if the program can't be started, 124 after the time limit, 128 plus the signal's
        /// number if a signal ended it.
        var status: Int32

        var isSuccess: Bool { status == 0 }
    }

    var words: [String]
    /// The folders to search for the program.
    var searchPath: String
    var patience: Duration = .seconds(10)

    static let outputBytesMax = 16 << 20

    func run() -> Result {
        guard let program = Self.find(words.first ?? "", in: searchPath) else {
            return Result(output: "", errors: "\(words.first ?? ""): command not found", status: 127)
        }
        do throws(Errno) {
            let output = try Pipe()
            defer { output.close() }
            let errors = try Pipe()
            defer { errors.close() }
            // The output is compared and parsed, so it must not depend on the caller's language; nor may a pager wait.
            let environment = ["PATH=\(searchPath)", "LC_ALL=C", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"]
            let child = try ChildProgram.start(
                program, words: words, environment: environment, input: "/dev/null", output: output.writeEnd,
                errors: errors.writeEnd)
            return Watch(child: child, output: output.readEnd, errors: errors.readEnd).wait(patience)
        } catch {
            return Result(output: "", errors: "\(error)", status: 127)
        }
    }

    /// Searches as execvp(3) does, but in the given path.
    static func find(_ name: String, in path: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        return path.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}

/// Reads a child's output, and waits for its end; doesn't wait for background processes that hold its pipes.
private struct Watch {
    let child: pid_t
    let output: Int32
    let errors: Int32
    private var texts: [[UInt8]] = [[], []]

    init(child: pid_t, output: Int32, errors: Int32) {
        self.child = child
        self.output = output
        self.errors = errors
        for descriptor in [output, errors] { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    }

    consuming func wait(_ patience: Duration) -> Subcommand.Result {
        let deadline = ContinuousClock.now + patience
        var status: Int32 = 0
        while true {
            let ended = waitpid(child, &status, WNOHANG)
            drain()
            if ended == child { return result(Self.exitStatus(status)) }
            if ended < 0, errno != EINTR { return result(127) }
            if ContinuousClock.now >= deadline {
                kill(child, SIGKILL)
                waitpid(child, &status, 0)
                return result(124)
            }
            // The writing ends of both pipes stay open here, so poll ends only by output or by its time limit.
            var waiting = [pollfd(fd: output, events: Int16(POLLIN), revents: 0)]
            waiting.append(pollfd(fd: errors, events: Int16(POLLIN), revents: 0))
            poll(&waiting, nfds_t(waiting.count), 10)
        }
    }

    private mutating func drain() {
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        for (index, descriptor) in [output, errors].enumerated() {
            while true {
                let count = read(descriptor, &chunk, chunk.count)
                guard count > 0 else { break }
                if texts[index].count < Subcommand.outputBytesMax { texts[index] += chunk[..<count] }
            }
        }
    }

    private func result(_ status: Int32) -> Subcommand.Result {
        Subcommand.Result(
            output: String(decoding: texts[0], as: UTF8.self), errors: String(decoding: texts[1], as: UTF8.self),
            status: status)
    }

    /// In place of WIFEXITED and related macros, which Swift can't import.
    private static func exitStatus(_ status: Int32) -> Int32 {
        status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
    }
}
