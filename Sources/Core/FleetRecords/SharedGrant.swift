import Addresses

/// A grant as a fleet shares it: by program, for the other node opens its own port for that program.
public struct SharedGrant: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var client: IPAddress
    public var program: Program
    public var transport: Transport
    /// The server behind a gateway; `nil`: the node itself.
    public var server: IPAddress?

    public init(_ client: IPAddress, _ program: Program, _ transport: Transport, server: IPAddress? = nil) {
        self.client = client
        self.program = program
        self.transport = transport
        self.server = server
    }

    public static func < (left: Self, right: Self) -> Bool {
        if left.client != right.client { return left.client < right.client }
        if left.program != right.program { return left.program < right.program }
        if left.transport != right.transport { return left.transport.rawValue < right.transport.rawValue }
        guard let server = right.server else { return false }
        return left.server.map { $0 < server } ?? true
    }

    /// The last part of its keys: `192.0.2.7!100003!tcp`, behind a gateway `192.0.2.7!100003!tcp!198.51.100.9`.
    public var description: String { "\(client)!\(program)!\(transport)" + (server.map { "!\($0)" } ?? "") }

    /// `nil` if the text isn't what ``description`` writes.
    public init?(text: some StringProtocol) {
        let parts = text.split(separator: "!", omittingEmptySubsequences: false)
        guard (3...4).contains(parts.count), let client = IPAddress(parts[0]), let program = UInt32(parts[1]),
            let transport = Transport(name: parts[2])
        else { return nil }
        self.init(client, Program(program), transport)
        if parts.count == 4 {
            guard let server = IPAddress(parts[3]) else { return nil }
            self.server = server
        }
        guard description == text else { return nil }
    }
}
