import Glibc
import System

/// Asks a process by its control socket: a line there, lines back.
public struct LineClient: Sendable {
    public let path: String
    /// For each step: connecting, sending, and each further part of the reply.
    private let patience: Duration

    public init(path: String, patience: Duration = .seconds(30)) {
        self.path = path
        self.patience = patience
    }

    /// - Parameter told: takes each line, without its end; may throw to stop.
    public func ask(_ line: [UInt8], max bytesMax: Int = 65_536, told: ([UInt8]) throws -> Void) throws {
        let descriptor = try UnixSocket.stream(to: path, patience: patience)
        defer { close(descriptor) }
        let call = line + [UInt8(ascii: "\n")]
        guard send(descriptor, call, call.count, Int32(MSG_NOSIGNAL)) == call.count else { throw Errno() }
        var rest: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Errno() }
            if count == 0 { break }
            var start = 0
            for (place, byte) in chunk[..<count].enumerated() where byte == UInt8(ascii: "\n") {
                try told(rest + chunk[start..<place])
                rest.removeAll(keepingCapacity: true)
                start = place + 1
            }
            rest += chunk[start..<count]
            guard rest.count <= bytesMax else { throw Errno(EMSGSIZE) }
        }
        guard rest.isEmpty else { throw Errno(EPIPE) }
    }
}
