import Addresses
import CNetfilter
import Firewall

/// A route as the kernel describes it: `struct rtmsg` and attributes.
struct RouteMessage {
    let family: RoutingFamily
    private(set) var table: UInt32
    private let header: rtmsg
    private var destination: IPAddress?
    private var interface: UInt32?
    private var metric: UInt32 = 0

    /// `nil`: another family, or no route.
    init?(_ payload: UnsafeRawBufferPointer, _ numbers: FamilyNumbers) {
        let size = MemoryLayout<rtmsg>.size
        guard payload.count >= size else { return nil }
        header = payload.loadUnaligned(as: rtmsg.self)
        guard let family = numbers.family(header.rtm_family) else { return nil }
        self.family = family
        table = UInt32(header.rtm_table)
        for attribute in Attributes(payload.dropping(size)) {
            switch attribute.type {
            case RTA_TABLE.rawValue: table = attribute.payload.native(UInt32.self) ?? table
            case RTA_DST.rawValue: destination = IPAddress(networkBytes: Array(attribute.payload))
            case RTA_OIF.rawValue: interface = attribute.payload.native(UInt32.self)
            case RTA_PRIORITY.rawValue: metric = attribute.payload.native(UInt32.self) ?? metric
            default: break
            }
        }
    }

    /// The metrics that the kernel gives to routes without one: IP6_RT_PRIO_USER for IPv6.
    static func metric(_ family: RoutingFamily) -> UInt32 {
        switch family {
        case .ipv4: 0
        case .ipv6: 1024
        }
    }

    /// What the kernel learned about one destination, such as its MTU.
    var isCached: Bool { header.rtm_flags & UInt32(RTM_F_CLONED) != 0 }

    var part: RoutingPart {
        guard isPlain, let kind else {
            let length = destination.map { "\($0)/\(header.rtm_dst_len)" } ?? "default"
            return .other(
                "\(family) route \(length) of table \(table), type \(header.rtm_type), protocol \(header.rtm_protocol), "
                    + "metric \(metric)")
        }
        return .entry(RoutingEntry(family, table: table, kind, destination))
    }

    private var isPlain: Bool {
        header.rtm_protocol == UInt8(RTPROT_KERNEL) && header.rtm_tos == 0 && header.rtm_src_len == 0
            && metric == Self.metric(family)
            && Int(header.rtm_dst_len) == (destination?.networkBytes.count ?? 0) * 8
    }

    private var kind: RoutingEntry.Kind? {
        switch Int(header.rtm_type) {
        case RTN_LOCAL where interface == RoutingTables.loopback: .local
        case RTN_THROW: .throw
        default: nil
        }
    }
}
