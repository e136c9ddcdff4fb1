import CNetfilter
import Firewall

/// A rule as the kernel describes it: `struct fib_rule_hdr` and attributes.
struct RuleMessage {
    let family: RoutingFamily
    private(set) var mark: UInt32 = 0
    private(set) var mask: UInt32 = 0
    private(set) var table: UInt32
    private var preference: UInt32 = 0
    /// Kernels before 4.17 don't tell the protocol.
    private var routingProtocol = UInt8(RTPROT_KERNEL)
    /// Whether the rule does nothing but select the table by the mark.
    private var isPlain: Bool

    /// `nil`: another family, or no rule.
    init?(_ payload: UnsafeRawBufferPointer, _ numbers: FamilyNumbers) {
        let size = MemoryLayout<fib_rule_hdr>.size
        guard payload.count >= size else { return nil }
        let header = payload.loadUnaligned(as: fib_rule_hdr.self)
        guard let family = numbers.family(header.family) else { return nil }
        self.family = family
        table = UInt32(header.table)
        isPlain =
            Int(header.action) == FR_ACT_TO_TBL && header.flags & UInt32(FIB_RULE_INVERT) == 0
            && header.dst_len == 0 && header.src_len == 0 && header.tos == 0
        for attribute in Attributes(payload.dropping(size)) { read(attribute) }
    }

    private mutating func read(_ attribute: Attributes.Attribute) {
        let number = attribute.payload.native(UInt32.self) ?? 0
        switch Int(attribute.type) {
        case FRA_FWMARK: mark = number
        case FRA_FWMASK: mask = number
        case FRA_TABLE: table = number
        case FRA_PRIORITY: preference = number
        case FRA_PROTOCOL: routingProtocol = attribute.payload.first ?? routingProtocol
        case FRA_SUPPRESS_PREFIXLEN, FRA_SUPPRESS_IFGROUP: isPlain = isPlain && number == .max  // -1: none
        case FRA_SRC, FRA_DST, FRA_IIFNAME, FRA_OIFNAME, FRA_TUN_ID, FRA_L3MDEV, FRA_UID_RANGE, FRA_IP_PROTO,
            FRA_SPORT_RANGE, FRA_DPORT_RANGE:
            isPlain = false
        // What later kernels add and always tell must not make our own rules unknown to us.
        default: break
        }
    }

    var part: RoutingPart {
        let rule = RoutingRule(family, preference: preference, mark: mark, mask: mask, table: table)
        guard routingProtocol == UInt8(RTPROT_KERNEL) else { return .other("\(rule) protocol \(routingProtocol)") }
        return isPlain ? .rule(rule) : .other("\(rule) with other conditions")
    }
}
