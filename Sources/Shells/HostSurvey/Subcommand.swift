import Glibc
import System

/// Another program, run to its end or to the end of our patience.
struct Subcommand {
    struct Result {
        /// What it printed, at most ``Subcommand/outputBytesMax`` bytes of each.
        var output: String
        var errors: String
        /// 127 if it can't be started, 124 if its time was up, 128 and the signal if one ended it.
        var status: Int32

        var isSuccess: Bool { status == 0 }
    }

    var words: [String]
    /// Where to look for it.
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
            // Texts are compared and read, so they must not depend on the caller's language; nor may a pager wait.
            let environment = ["PATH=\(searchPath)", "LC_ALL=C", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"]
            let child = try ChildProgram.start(
                program, words: words, environment: environment, input: "/dev/null", output: output.writeEnd,
                errors: errors.writeEnd)
            return Watch(child: child, output: output.readEnd, errors: errors.readEnd).wait(patience)
        } catch {
            return Result(output: "", errors: "\(error)", status: 127)
        }
    }

    /// As execvp(3), but in a path of our own choice.
    static func find(_ name: String, in path: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        return path.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}

/// Reads what a child prints, and waits for its end; not for those that it left behind with its pipes.
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
            // Both pipes' writing ends stay open here, so poll ends by what is printed, or by its time.
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

    /// WIFEXITED and its kin are macros.
    private static func exitStatus(_ status: Int32) -> Int32 {
        status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
    }
}
