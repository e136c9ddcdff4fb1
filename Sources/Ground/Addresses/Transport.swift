/// The transport of a service: what `prot` of a mapping names, and what a netid implies.
public enum Transport: UInt8, Hashable, Sendable, CaseIterable, BitwiseCopyable, CustomStringConvertible {
    case tcp = 6  // RFC 1833, 3.1: PMAP_IPPROTO_TCP
    case udp = 17  // RFC 1833, 3.1: PMAP_IPPROTO_UDP

    public init?(name: some StringProtocol) {
        switch name {
        case "tcp": self = .tcp
        case "udp": self = .udp
        default: return nil
        }
    }

    public var description: String {
        switch self {
        case .tcp: "tcp"
        case .udp: "udp"
        }
    }
}

/// A transport and a port on this host, such as `tcp/2049`.
public struct ServicePort: TableKey, Sendable, Comparable, CustomStringConvertible {
    public var transport: Transport
    public var port: UInt16

    public init(_ transport: Transport, _ port: UInt16) {
        self.transport = transport
        self.port = port
    }

    @inlinable
    public func combine(into hash: inout TableHash) {
        hash.combine(UInt32(transport.rawValue) << 16 | UInt32(port))
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.transport.rawValue, left.port) < (right.transport.rawValue, right.port)
    }

    public var description: String { "\(transport)/\(port)" }
}
