@preconcurrency import Glibc
import System

/// Exit codes (rpcwarden(8), EXIT STATUS).
public enum ExitStatus {
    public static let denied: Int32 = 1
    /// What stood in the way may be gone a moment later.
    public static let failed: Int32 = 1
    public static let usage: Int32 = 2
    public static let unreachable: Int32 = 3
}

/// The failure of a command, with a message and a nonzero exit code.
public struct CommandFailure: Error {
    public var message: String?
    public var code: Int32

    public init(message: String?, code: Int32) {
        self.message = message
        self.code = code
    }

    public static func usage(_ message: String) -> CommandFailure {
        CommandFailure(message: message, code: ExitStatus.usage)
    }

    /// - Parameter program: begins the message, unless it begins with the name already.
    public func exit(as program: String) -> Never {
        do throws(CommandFailure) { try finishOutput() } catch { error.write(as: program) }
        write(as: program)
        Glibc.exit(code)
    }

    func write(as program: String) {
        if let message { writeError(message.hasPrefix("\(program):") ? message : "\(program): \(message)") }
    }
}

/// Ends the program as the argument parser says: with a text that was asked for, or with its error.
public func exit(as program: String, _ text: String, isSuccess: Bool) -> Never {
    if isSuccess {
        print(text)
        do throws(CommandFailure) { try finishOutput() } catch {
            error.write(as: program)
            Glibc.exit(error.code)
        }
        Glibc.exit(0)
    }
    let prefix = "Error: "
    writeError(text.hasPrefix(prefix) ? "\(program): " + text.dropFirst(prefix.count) : text)
    Glibc.exit(ExitStatus.usage)
}

/// Writes what is left of the output.
///
/// - Throws: a failure if any of it could not be written, as to a full disk.
public func finishOutput() throws(CommandFailure) {
    let isWritten = fflush(stdout) == 0
    let error = Errno()
    guard !isWritten || ferror(stdout) != 0 else { return }
    let cause = isWritten ? "" : ": \(error)"
    throw CommandFailure(message: "can't write the whole output to stdout\(cause)", code: ExitStatus.failed)
}

/// Writes a message to stderr, and waits for its reader; what a terminal would obey is shown as `\u{1b}`.
public func writeError(_ message: String) {
    let lines = message.split(separator: "\n", omittingEmptySubsequences: false)
    let bytes = Array((lines.map { StandardError.printable(String($0)) }.joined(separator: "\n") + "\n").utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}
