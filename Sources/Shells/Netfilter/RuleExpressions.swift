import Addresses
import CNetfilter
import Firewall

/// A register of 4 bytes; fields in consecutive registers form one key.
struct Register {
    static let first = Register(number: NFT_REG32_00.rawValue)

    let number: UInt32

    func after(_ field: KeyField) -> Register {
        Register(number: number + UInt32((field.bytes + 3) / 4))
    }
}

/// The verdict at the end of a rule.
enum Verdict {
    case accept, drop, `return`
    case jump(String)
    case goTo(String)
}

/// One rule, built expression by expression in the order in which the kernel evaluates them.
struct RuleExpressions: ~Copyable {
    let rule: OpaquePointer

    init(table: String, chain: String, comment: String?) {
        guard let rule = nftnl_rule_alloc() else { fatalError("out of memory") }
        self.rule = rule
        nftnl_rule_set_u32(rule, UInt16(NFTNL_RULE_FAMILY.rawValue), UInt32(NFPROTO_INET))
        nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_TABLE.rawValue), table)
        nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_CHAIN.rawValue), chain)
        if let comment {
            let userdata = Userdata.comment(0, comment)
            nftnl_rule_set_data(rule, UInt16(NFTNL_RULE_USERDATA.rawValue), userdata, UInt32(userdata.count))
        }
    }

    deinit {
        nftnl_rule_free(rule)
    }

    /// `meta KEY`, into a register.
    func meta(_ key: nft_meta_keys, into register: Register = .first) {
        add("meta") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_META_KEY), key.rawValue)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_META_DREG), register.number)
        }
    }

    /// `meta mark set meta mark or BITS`
    func mark(_ bits: UInt32) {
        meta(NFT_META_MARK)
        bitwise(mask: ~bits, xor: bits)
        add("meta") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_META_KEY), NFT_META_MARK.rawValue)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_META_SREG), Register.first.number)
        }
    }

    /// `ct KEY`, into the first register.
    func ct(_ key: nft_ct_keys) {
        add("ct") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_KEY), key.rawValue)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_DREG), Register.first.number)
        }
    }

    /// `ct state STATE`: goes on only for packets of flows in this state.
    func isState(_ bit: UInt32) {
        ct(NFT_CT_STATE)
        bitwise(mask: bit, xor: 0)
        compare(NFT_CMP_NEQ, UInt32(0))
    }

    /// `ct status confirmed`: not the flow's first packet.
    func isConfirmed() {
        ct(NFT_CT_STATUS)
        bitwise(mask: UInt32(IPS_CONFIRMED.rawValue), xor: 0)
        compare(NFT_CMP_NEQ, UInt32(0))
    }

    /// `ct direction original`: the packet comes from the flow's originator; `ct direction reply`: from the other end.
    func isReply(_ isIt: Bool) {
        ct(NFT_CT_DIRECTION)
        compare(NFT_CMP_EQ, UInt8(isIt ? IP_CT_DIR_REPLY.rawValue : IP_CT_DIR_ORIGINAL.rawValue))
    }

    /// `ct mark and BITS == BITS`
    func hasFlowMark(_ bits: UInt32) {
        ct(NFT_CT_MARK)
        bitwise(mask: bits, xor: 0)
        compare(NFT_CMP_EQ, bits)
    }

    /// `ct mark set ct mark or BITS`
    func markFlow(_ bits: UInt32) {
        ct(NFT_CT_MARK)
        bitwise(mask: ~bits, xor: bits)
        add("ct") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_KEY), NFT_CT_MARK.rawValue)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_SREG), Register.first.number)
        }
    }

    /// `iif "lo"`: the first interface of every namespace (LOOPBACK_IFINDEX).
    func isLoopback(_ isIt: Bool = true) {
        meta(NFT_META_IIF)
        compare(isIt ? NFT_CMP_EQ : NFT_CMP_NEQ, UInt32(1))
    }

    /// Goes on only for packets of this family; in an inet table nft puts this test before every `ip saddr`.
    func isFamily(_ family: Int) {
        meta(NFT_META_NFPROTO)
        compare(NFT_CMP_EQ, UInt8(family))
    }

    /// `meta l4proto tcp`
    func isTransport(_ transport: Transport) {
        meta(NFT_META_L4PROTO)
        compare(NFT_CMP_EQ, transport.rawValue)
    }

    /// `tcp flags & (syn | ack) == syn`: the sender begins the flow; `!=`: the packet is of a flow that has begun.
    func beginsConnection(_ isIt: Bool = true) {
        isTransport(.tcp)
        payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: 13, bytes: 1, into: .first)
        bitwise(mask: UInt8(0x12), xor: 0)
        compare(isIt ? NFT_CMP_EQ : NFT_CMP_NEQ, UInt8(0x02))
    }

    /// Loads the fields of a set's key, side by side from the first register: of a packet to the service, or of
    /// one from it.
    func load(_ fields: [KeyField], ofReply: Bool = false) {
        var register = Register.first
        for field in fields {
            switch field {
            case .address4: payload(NFT_PAYLOAD_NETWORK_HEADER, offset: ofReply ? 16 : 12, field, into: register)
            case .address6: payload(NFT_PAYLOAD_NETWORK_HEADER, offset: ofReply ? 24 : 8, field, into: register)
            case .destination4: payload(NFT_PAYLOAD_NETWORK_HEADER, offset: ofReply ? 12 : 16, field, into: register)
            case .destination6: payload(NFT_PAYLOAD_NETWORK_HEADER, offset: ofReply ? 8 : 24, field, into: register)
            case .transport: meta(NFT_META_L4PROTO, into: register)
            case .port: payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: ofReply ? 0 : 2, field, into: register)
            }
            register = register.after(field)
        }
    }

    private func payload(_ base: nft_payload_bases, offset: UInt32, _ field: KeyField, into register: Register) {
        payload(base, offset: offset, bytes: field.bytes, into: register)
    }

    private func payload(_ base: nft_payload_bases, offset: UInt32, bytes: Int, into register: Register) {
        add("payload") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_BASE), base.rawValue)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_OFFSET), offset)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_LEN), UInt32(bytes))
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_DREG), register.number)
        }
    }

    /// Goes on only if the first register holds `value`.
    func compare<Value: FixedWidthInteger & BitwiseCopyable>(_ operation: nft_cmp_ops, _ value: Value) {
        add("cmp") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CMP_SREG), Register.first.number)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CMP_OP), operation.rawValue)
            Self.set($0, NFTNL_EXPR_CMP_DATA, value)
        }
    }

    /// `(first register & mask) ^ xor`, in the packet mark's own byte order.
    func bitwise<Value: FixedWidthInteger & BitwiseCopyable>(mask: Value, xor: Value) {
        add("bitwise") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_BITWISE_SREG), Register.first.number)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_BITWISE_DREG), Register.first.number)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_BITWISE_LEN), UInt32(MemoryLayout<Value>.size))
            Self.set($0, NFTNL_EXPR_BITWISE_MASK, mask)
            Self.set($0, NFTNL_EXPR_BITWISE_XOR, xor)
        }
    }

    /// `@set`: goes on only if the set holds the key in the registers; `!= @set`: only if it doesn't.
    func lookup(_ set: String, id: UInt32? = nil, isInverted: Bool = false) {
        add("lookup") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOOKUP_SREG), Register.first.number)
            nftnl_expr_set_str($0, UInt16(NFTNL_EXPR_LOOKUP_SET), set)
            if let id { nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOOKUP_SET_ID), id) }
            if isInverted { nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOOKUP_FLAGS), UInt32(NFT_LOOKUP_F_INV.rawValue)) }
        }
    }

    /// An anonymous set `{ tcp, udp }`.
    struct Transports {
        let id: UInt32
        var name: String { "__set%d" }
    }

    /// `meta l4proto { tcp, udp }`
    func isOf(_ transports: Transports) {
        load([.transport])
        lookup(transports.name, id: transports.id)
    }

    /// `update @set { … timeout … }`, or `add`, which doesn't change an existing element.
    func update(_ set: TableSet, _ operation: nft_dynset_ops = NFT_DYNSET_OP_UPDATE, timeout: Duration) {
        add("dynset") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_DYNSET_SREG_KEY), Register.first.number)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_DYNSET_OP), operation.rawValue)
            nftnl_expr_set_u64($0, UInt16(NFTNL_EXPR_DYNSET_TIMEOUT), timeout.kernelMilliseconds)
            nftnl_expr_set_str($0, UInt16(NFTNL_EXPR_DYNSET_SET_NAME), set.rawValue)
        }
    }

    /// `fib daddr type local`: this host's own addresses, without broadcast and multicast addresses.
    func isToThisHost() {
        add("fib") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_DREG), Register.first.number)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_RESULT), NFT_FIB_RESULT_ADDRTYPE.rawValue)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_FLAGS), UInt32(NFTA_FIB_F_DADDR.rawValue))
        }
        compare(NFT_CMP_EQ, UInt32(RTN_LOCAL))
    }

    /// `fib saddr . iif oif missing`: packets to the source wouldn't leave by the way that this one came.
    func lacksWayBack() {
        add("fib") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_DREG), Register.first.number)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_RESULT), NFT_FIB_RESULT_OIF.rawValue)
            let flags = NFTA_FIB_F_SADDR.rawValue | NFTA_FIB_F_IIF.rawValue | NFTA_FIB_F_PRESENT.rawValue
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_FLAGS), UInt32(flags))
        }
        compare(NFT_CMP_EQ, UInt32(0))
    }

    /// `ip  saddr . meta l4proto . th dport @standing4 …`, or the same for IPv6, or with the destination.
    ///
    /// - Parameter name: name of the set, if it isn't the default name of the set's kind.
    func admit(_ set: TableSet, named name: String? = nil, _ verdict: Verdict) {
        isFamily(set == .standing4 || set == .standingAt4 ? NFPROTO_IPV4 : NFPROTO_IPV6)
        load(set.fields)
        lookup(name ?? set.rawValue)
        self.verdict(verdict)
    }

    /// `icmp type TYPE`, `icmpv6 type TYPE`
    func isICMP(_ type: UInt8, ofIPv6 isIPv6: Bool) {
        isFamily(isIPv6 ? NFPROTO_IPV6 : NFPROTO_IPV4)
        meta(NFT_META_L4PROTO)
        compare(NFT_CMP_EQ, UInt8(isIPv6 ? 58 : IPPROTO_ICMP))  // IPPROTO_ICMPV6 is no constant of Glibc's module
        payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: 0, bytes: 1, into: .first)
        compare(NFT_CMP_EQ, type)
    }

    /// `socket transparent 1`: the packet is for a socket with IP_TRANSPARENT or IPV6_TRANSPARENT.
    func isForTransparentSocket() {
        add("socket") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_SOCKET_KEY), NFT_SOCKET_TRANSPARENT.rawValue)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_SOCKET_DREG), Register.first.number)
        }
        compare(NFT_CMP_EQ, UInt8(1))
    }

    /// `notrack`
    func notrack() { add("notrack") { _ in } }

    /// `tproxy ip to :PORT`: goes on only if a socket of this host listens there, which gets the packet.
    func deliver(toPort port: UInt16, _ family: Int) {
        add("immediate") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_DREG), Register.first.number)
            Self.set($0, NFTNL_EXPR_IMM_DATA, port.bigEndian)
        }
        add("tproxy") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_TPROXY_FAMILY), UInt32(family))
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_TPROXY_REG_PORT), Register.first.number)
        }
    }

    func counter() {
        add("counter") { _ in }
    }

    /// `limit rate …/second burst … packets`: goes on below the rate; `limit rate over …`: above the rate.
    func limit(_ rate: PacketRate, isOver: Bool = false) {
        add("limit") { rate.describe($0, isOver: isOver) }
    }

    /// `log prefix "…" group … snaplen … queue-threshold 1`: reports each packet at once, with its headers; for
    /// strangers also with the call.
    func log(_ kind: DroppedPacket.Kind, group: UInt16) {
        add("log") {
            nftnl_expr_set_str($0, UInt16(NFTNL_EXPR_LOG_PREFIX), kind.rawValue)
            nftnl_expr_set_u16($0, UInt16(NFTNL_EXPR_LOG_GROUP), group)
            nftnl_expr_set_u32(
                $0, UInt16(NFTNL_EXPR_LOG_SNAPLEN), kind == .stranger ? DropLog.packetBytesMax : DropLog.headerBytesMax)
            nftnl_expr_set_u16($0, UInt16(NFTNL_EXPR_LOG_QTHRESHOLD), 1)
        }
    }

    func verdict(_ verdict: Verdict) {
        add("immediate") {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_DREG), NFT_REG_VERDICT.rawValue)
            switch verdict {
            case .accept: nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_VERDICT), UInt32(NF_ACCEPT))
            case .drop: nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_VERDICT), UInt32(NF_DROP))
            case .return:
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_VERDICT), UInt32(bitPattern: NFT_RETURN.rawValue))
            case .jump(let chain): Self.set($0, NFT_JUMP, chain)
            case .goTo(let chain): Self.set($0, NFT_GOTO, chain)
            }
        }
    }

    private static func set(_ expression: OpaquePointer, _ verdict: nft_verdicts, _ chain: String) {
        nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_IMM_VERDICT), UInt32(bitPattern: verdict.rawValue))
        nftnl_expr_set_str(expression, UInt16(NFTNL_EXPR_IMM_CHAIN), chain)
    }

    private static func set<Value: BitwiseCopyable>(_ expression: OpaquePointer, _ attribute: Int, _ value: Value) {
        withUnsafeBytes(of: value) {
            _ = nftnl_expr_set(expression, UInt16(attribute), $0.baseAddress, UInt32($0.count))
        }
    }

    private func add(_ name: String, _ fill: (OpaquePointer) -> Void) {
        guard let expression = nftnl_expr_alloc(name) else { fatalError("out of memory") }
        fill(expression)
        nftnl_rule_add_expr(rule, expression)
    }
}
