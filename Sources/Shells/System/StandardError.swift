import Glibc

/// Messages for operators, beside the audit log; never waits for the reader.
public enum StandardError {
    /// A pipe that poll() reports as writable takes this many bytes at once (PIPE_BUF).
    public static let chunkBytesMax = 4096

    /// A text of another program, with its control characters and invisible ones as `\u{1b}`: a terminal may show it.
    public static func printable(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isInvisible) else { return text }
        return text.unicodeScalars.reduce(into: "") { shown, scalar in
            if isInvisible(scalar) {
                shown += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                shown.unicodeScalars.append(scalar)
            }
        }
    }

    private static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        case _: false
        }
    }

    /// Writes a line; the part without room is dropped.
    public static func write(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let chunk = UnsafeRawBufferPointer(rebasing: rest.prefix(chunkBytesMax))
                let count = writeAtOnce(chunk)
                guard count > 0 else { return }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// O_NONBLOCK would affect all processes that share the descriptor, so a pipe is polled first.
    private static func writeAtOnce(_ bytes: UnsafeRawBufferPointer) -> Int {
        let sent = send(STDERR_FILENO, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        guard sent < 0, errno == ENOTSOCK else { return sent }
        guard isWritable(STDERR_FILENO) else { return 0 }
        return Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count)
    }

    /// Whether a pipe has room, or its reader is gone.
    public static func isWritable(_ descriptor: Int32) -> Bool {
        var polled = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&polled, 1, 0) > 0
    }
}
