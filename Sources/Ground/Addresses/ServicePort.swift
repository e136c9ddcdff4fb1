/// A transport and a port of a server, such as `tcp/2049`; or of a client that a server calls back
/// (``ServerID/isCallback``).
public struct ServicePort: TableKey, Sendable, Comparable, CustomStringConvertible {
    public var transport: Transport
    public var port: UInt16
    public var server: ServerID

    public init(_ transport: Transport, _ port: UInt16, at server: ServerID = .thisHost) {
        self.transport = transport
        self.port = port
        self.server = server
    }

    /// The same port at another server.
    public func at(_ server: ServerID) -> Self { ServicePort(transport, port, at: server) }

    @inlinable
    public func combine(into hash: inout TableHash) {
        hash.combine(UInt64(server.rawValue) << 32 | UInt64(transport.rawValue) << 16 | UInt64(port))
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.server, left.transport.rawValue, left.port) < (right.server, right.transport.rawValue, right.port)
    }

    /// Without the server, which callers that list several servers print separately.
    public var description: String { "\(transport)/\(port)" }
}
