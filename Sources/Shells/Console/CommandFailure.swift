import Glibc

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
        if let message { writeError(message.hasPrefix("\(program):") ? message : "\(program): \(message)") }
        Glibc.exit(code)
    }
}

/// Ends the program as the argument parser says: with a text that was asked for, or with its error.
public func exit(as program: String, _ text: String, isSuccess: Bool) -> Never {
    if isSuccess {
        print(text)
        Glibc.exit(0)
    }
    let prefix = "Error: "
    writeError(text.hasPrefix(prefix) ? "\(program): " + text.dropFirst(prefix.count) : text)
    Glibc.exit(ExitStatus.usage)
}

/// Writes a line to stderr, and waits for its reader.
public func writeError(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}
