import Addresses

/// The netids that are served (RFC 5665, 5.1.3); registrations with any other netid are ignored.
public enum NetID: String, Hashable, Sendable, CaseIterable, BitwiseCopyable {
    case udp
    case tcp
    case udp6
    case tcp6
    case local

    public func hash(into hasher: inout Hasher) { hasher.combine(caseOf: self) }

    public init(_ transport: Transport, isIPv4: Bool) {
        switch (transport, isIPv4) {
        case (.udp, true): self = .udp
        case (.tcp, true): self = .tcp
        case (.udp, false): self = .udp6
        case (.tcp, false): self = .tcp6
        }
    }

    /// `nil` for `local`.
    public var transport: Transport? {
        switch self {
        case .udp, .udp6: .udp
        case .tcp, .tcp6: .tcp
        case .local: nil
        }
    }

    public var isIPv4: Bool {
        switch self {
        case .udp, .tcp: true
        case .udp6, .tcp6, .local: false
        }
    }

    /// netconfig's semantics (RFC 1833, 2.1, r_nc_semantics): 1 connectionless, 3 connection-oriented, orderly release.
    public var semantics: UInt32 {
        switch self {
        case .udp, .udp6: 1
        case .tcp, .tcp6, .local: 3
        }
    }

    public var protocolFamily: String {
        switch self {
        case .udp, .tcp: "inet"
        case .udp6, .tcp6: "inet6"
        case .local: "loopback"
        }
    }

    /// netconfig's protocol name, `-` where there is none.
    public var protocolName: String { transport?.description ?? "-" }
}
