import Addresses
import CNetfilter
import Firewall

extension MessageBuffer {
    /// Begins the message that adds a rule or a route, unless there is one like it.
    mutating func beginAdding(_ part: RoutingPart, _ numbers: FamilyNumbers, sequence: UInt32) {
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
        switch part {
        case .rule(let rule):
            begin(type: UInt16(CNF_RTM_NEWRULE), flags: flags, sequence: sequence)
            append(rule, numbers)
        case .entry(let entry):
            begin(type: UInt16(CNF_RTM_NEWROUTE), flags: flags, sequence: sequence)
            append(entry, numbers)
        case .other(let text): preconditionFailure("no plan has \(text)")
        }
    }

    /// ip rule add pref PREFERENCE fwmark MARK/MASK lookup TABLE protocol kernel
    private mutating func append(_ rule: RoutingRule, _ numbers: FamilyNumbers) {
        var header = fib_rule_hdr()
        header.family = numbers.number(rule.family)
        header.action = UInt8(FR_ACT_TO_TBL)
        append(header)
        put(UInt32(FRA_PRIORITY)) { $0.append(rule.preference) }
        put(UInt32(FRA_FWMARK)) { $0.append(rule.mark) }
        put(UInt32(FRA_FWMASK)) { $0.append(rule.mask) }
        put(UInt32(FRA_TABLE)) { $0.append(rule.table) }
        put(UInt32(FRA_PROTOCOL), bigEndian: UInt8(RTPROT_KERNEL))
    }

    /// ip route add local DESTINATION dev lo table TABLE protocol kernel
    /// ip route add throw DESTINATION table TABLE protocol kernel
    private mutating func append(_ entry: RoutingEntry, _ numbers: FamilyNumbers) {
        let destination = entry.destination?.networkBytes ?? []
        var header = rtmsg()
        header.rtm_family = numbers.number(entry.family)
        header.rtm_dst_len = UInt8(destination.count * 8)
        header.rtm_protocol = UInt8(RTPROT_KERNEL)
        switch entry.kind {
        case .local: (header.rtm_type, header.rtm_scope) = (UInt8(RTN_LOCAL), UInt8(RT_SCOPE_HOST.rawValue))
        case .throw: (header.rtm_type, header.rtm_scope) = (UInt8(RTN_THROW), UInt8(RT_SCOPE_UNIVERSE.rawValue))
        }
        append(header)
        if !destination.isEmpty { destination.withUnsafeBytes { put(RTA_DST.rawValue, $0) } }
        put(RTA_TABLE.rawValue) { $0.append(entry.table) }
        put(RTA_PRIORITY.rawValue) { $0.append(RouteMessage.metric(entry.family)) }
        if entry.kind == .local { put(RTA_OIF.rawValue) { $0.append(RoutingTables.loopback) } }
    }
}
