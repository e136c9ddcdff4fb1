import FoundationEssentials
import Glibc
import System

/// Why the daemon could not be asked.
public enum ControlError: Error, Hashable, Sendable, CustomStringConvertible {
    case unreachable(path: String, code: Int32)
    case interrupted(path: String)
    case pathTooLong(String)

    public var description: String {
        switch self {
        case .unreachable(let path, let code) where code == EACCES:
            "can't open \(path): \(Errno(code)); run the command as root, or as a member of the socket's group"
        case .unreachable(let path, let code):
            "can't reach the daemon at \(path): \(Errno(code)); is `rpcwarden serve` running with this configuration?"
        case .interrupted(let path): "the daemon at \(path) gave no whole answer; see its log"
        case .pathTooLong(let path): "the control socket's path is too long: \(path); shorten `control`"
        }
    }
}

/// Sends a call to a running daemon, and waits for its reply.
public struct ControlClient: Sendable {
    public let path: String

    /// Time limit for each step: connecting, sending, and each further part of the reply.
    private let patience: Duration

    /// - Parameter patience: time limit for each step; a reload of a large policy takes some time, and a daemon
    ///   that needs longer is stuck.
    public init(path: String, patience: Duration = .seconds(30)) {
        self.path = path
        self.patience = patience
    }

    public func ask(_ call: ControlCall) throws -> ControlReply {
        let descriptor = try connect()
        defer { close(descriptor) }
        try send([UInt8](try JSONEncoder().encode(call)) + [UInt8(ascii: "\n")], to: descriptor)
        let answer = try receive(from: descriptor)
        do {
            return try JSONDecoder().decode(ControlReply.self, from: Data(answer))
        } catch {
            throw ControlError.interrupted(path: path)
        }
    }

    private func connect() throws(ControlError) -> Int32 {
        do throws(Errno) {
            return try UnixSocket.stream(to: path, patience: patience)
        } catch {
            throw error.code == ENAMETOOLONG ? .pathTooLong(path) : .unreachable(path: path, code: error.code)
        }
    }

    private func send(_ bytes: [UInt8], to descriptor: Int32) throws(ControlError) {
        guard Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw .interrupted(path: path)
        }
    }

    private func receive(from descriptor: Int32) throws(ControlError) -> [UInt8] {
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .interrupted(path: path) }
            if count == 0 { return answer }
            answer += chunk.prefix(count)
        }
    }
}
