/// The transport of a service: named by `prot` of a mapping, and implied by a netid.
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
