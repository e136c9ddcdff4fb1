import CNetfilter
import Firewall

/// The contents of rpcwarden's table, except its elements. Each group of calls has the equivalent nft line above it.
extension Batch {
    mutating func makeTable(_ shape: TableShape) {
        switch shape.management {
        case .sets: break  // The administrator's chains in it stay.
        case .guardPorts: deleteTable(shape.name)
        }
        addTable(shape)
        fillTable(shape)
    }

    /// - Parameter leaving: the sets that exist already, with elements.
    mutating func fillTable(_ shape: TableShape, leaving: [TableSet] = []) {
        tableIsNew(Self.name(shape.name), but: leaving)
        for (index, set) in TableSet.all(of: shape).enumerated() { add(set, id: UInt32(index + 1), shape) }
        switch shape.management {
        case .sets: for set in TableSet.all(of: shape) { flush(set) }
        case .guardPorts:
            addChains(shape)
            addInputRules(shape)
            addPortmapperRules(shape)
            addShieldRules(shape)
            addGuardedPortRules(shape)
            addAdmittedRules(shape)
            addOwnFlowRules(shape)
            if let gateway = shape.gateway { addGateway(gateway, shape) }
        }
    }

    /// `add table inet …; delete table inet …`: works whether or not the table exists.
    mutating func deleteTable(_ name: String) {
        // Without flags: those of an existing table stay as they are.
        message(NFT_MSG_NEWTABLE, flags: NLM_F_CREATE, table: Self.name(name))
        message(NFT_MSG_DELTABLE, flags: 0, table: Self.name(name))
    }

    // flags owner,persist
    static let ownedTableFlags = CNF_TABLE_F_OWNER | CNF_TABLE_F_PERSIST

    // create table inet … { flags … }
    mutating func tryTable(withFlags flags: Int32) {
        message(NFT_MSG_NEWTABLE, flags: NLM_F_CREATE | NLM_F_EXCL) {
            $0.put(NFTA_TABLE_FLAGS.rawValue, bigEndian: UInt32(flags))
        }
    }

    // table inet rpcwarden { flags owner,persist; comment "…" }
    private mutating func addTable(_ shape: TableShape) {
        let comment = Userdata.comment(0, "rpcwarden: managed; changes are undone")
        let flags = shape.isOwned ? Self.ownedTableFlags : 0
        message(NFT_MSG_NEWTABLE, flags: NLM_F_CREATE, table: Self.name(shape.name)) { message in
            message.put(NFTA_TABLE_FLAGS.rawValue, bigEndian: UInt32(flags))
            comment.withUnsafeBytes { message.put(NFTA_TABLE_USERDATA.rawValue, $0) }
        }
    }

    // set granted4 { typeof ip saddr . meta l4proto . th dport; size …; flags dynamic,timeout; counter; timeout … }
    private mutating func add(_ set: TableSet, id: UInt32, _ shape: TableShape) {
        let description = Self.description(of: set, named: set.rawValue, id: id, table: shape.name)
        if let size = set.sizeMax(shape) { description.limit(size) }
        switch set {
        case .granted4, .granted6, .grantedAt4, .grantedAt6: description.expire(after: shape.keep)
        case .guarded, .remembered4, .remembered6, .standing4, .standing6, .recent4, .recent6, .quarantined4,
            .quarantined6, .shielded, .revoked4, .revoked6, .settling, .servers4, .servers6, .callers4, .callers6,
            .guardedAt4, .guardedAt6, .closedAt4, .closedAt6, .rememberedAt4, .rememberedAt6, .standingAt4,
            .standingAt6, .recentAt4, .recentAt6:
            break
        }
        add(description, table: shape.name)
    }

    /// The description of a set of this kind, without the settings of the table's shape.
    private static func description(of set: TableSet, named name: String, id: UInt32, table: String) -> SetDescription {
        let description = SetDescription(table: table, name: name, id: id, fields: set.fields, flags: set.flags)
        // 0: mixed or none; 2: big endian, as nft notes it (BYTEORDER_BIG_ENDIAN).
        let byteOrder: UInt32 = set.fields.count > 1 ? 0 : 2
        description.note(
            Userdata.number(0, byteOrder) + Userdata.record(3, KeyField.typeof(set.fields))
                + Userdata.comment(7, set.comment))
        switch set.elementStatement {
        case .count: description.countPerElement()
        case .limit(let rate): description.limitPerElement(rate)
        case nil: break
        }
        return description
    }

    /// Adds a set of ranges beside the table's own.
    mutating func add(_ set: TableSet, named name: String, id: UInt32, table: String) {
        add(Self.description(of: set, named: name, id: id, table: table), table: table)
    }

    private mutating func add(_ description: borrowing SetDescription, table: String) {
        let set = description.set
        message(NFT_MSG_NEWSET, flags: NLM_F_CREATE, table: table) { nftnl_set_nlmsg_build_payload($0, set) }
    }

    // delete set inet rpcwarden standing4
    mutating func deleteSet(named name: String, table: String) {
        message(NFT_MSG_DELSET, flags: 0, table: Self.name(table)) { $0.put(NFTA_SET_NAME.rawValue, name) }
    }

    // flush set inet rpcwarden granted4
    mutating func flush(_ set: TableSet) {
        message(NFT_MSG_DELSETELEM, flags: 0) { $0.put(NFTA_SET_ELEM_LIST_SET.rawValue, set.rawValue) }
    }

    private mutating func addChains(_ shape: TableShape) {
        // chain input { type filter hook input priority filter - 10; policy accept; }
        addChain("input", shape.name, at: NF_INET_LOCAL_IN, priority: -10)
        // chain output { type filter hook output priority filter - 10; policy accept; }
        addChain("output", shape.name, at: NF_INET_LOCAL_OUT, priority: -10)
        for name in [
            "short_way", "portmapper", "shielded_portmapper", "strangers", "guarded_port", "admitted", "begun_here",
        ] {
            addChain(name, shape.name)
        }
    }

    mutating func addChain(_ name: String, _ table: String, at hook: nf_inet_hooks? = nil, priority: Int32 = 0) {
        guard let chain = nftnl_chain_alloc() else { fatalError("out of memory") }
        defer { nftnl_chain_free(chain) }
        nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_TABLE.rawValue), table)
        nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_NAME.rawValue), name)
        if let hook {
            nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_TYPE.rawValue), "filter")
            nftnl_chain_set_u32(chain, UInt16(NFTNL_CHAIN_HOOKNUM.rawValue), hook.rawValue)
            nftnl_chain_set_s32(chain, UInt16(NFTNL_CHAIN_PRIO.rawValue), priority)
            nftnl_chain_set_u32(chain, UInt16(NFTNL_CHAIN_POLICY.rawValue), UInt32(NF_ACCEPT))
        }
        message(NFT_MSG_NEWCHAIN, flags: NLM_F_CREATE, table: table) { nftnl_chain_nlmsg_build_payload($0, chain) }
    }

    private mutating func addInputRules(_ shape: TableShape) {
        // th dport 111 meta l4proto { tcp, udp } jump portmapper
        let transports = addTransports(0, shape)
        addRule("input", shape) {
            $0.load([.port])
            $0.compare(NFT_CMP_EQ, UInt16(111).bigEndian)
            $0.isOf(transports)
            $0.verdict(.jump("portmapper"))
        }

        addFastPath("input", "short_way", Self.recent, shape)

        // iif "lo" accept
        addRule("input", shape) {
            $0.isLoopback()
            $0.verdict(.accept)
        }

        // meta l4proto . th dport @guarded goto guarded_port
        addRule("input", shape) {
            $0.load(TableSet.guarded.fields)
            $0.lookup(TableSet.guarded.rawValue)
            $0.verdict(.goTo("guarded_port"))
        }
    }

    /// Adds the anonymous set `{ tcp, udp }` of one rule, which refers to it by its number within the batch.
    /// - Parameter number: counts these sets from 0.
    mutating func addTransports(_ number: Int, _ shape: TableShape) -> RuleExpressions.Transports {
        let transports = RuleExpressions.Transports(id: UInt32(TableSet.allCases.count + 1 + number))
        let set = SetDescription(
            table: shape.name, name: transports.name, id: transports.id, fields: [.transport],
            flags: NFT_SET_ANONYMOUS.rawValue | NFT_SET_CONSTANT.rawValue)
        set.note(Userdata.number(0, 1) + Userdata.record(3, KeyField.typeof([.transport])))  // 1: host byte order
        set.limit(2)
        add(set, table: shape.name)
        message(NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE, table: Self.name(shape.name)) { message in
            message.put(NFTA_SET_ELEM_LIST_SET.rawValue, transports.name)
            message.put(NFTA_SET_ELEM_LIST_SET_ID.rawValue, bigEndian: transports.id)
            message.nest(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue) { list in
                for transport in [UInt8(IPPROTO_TCP), UInt8(IPPROTO_UDP)] {
                    list.nest(UInt32(NFTA_LIST_ELEM.rawValue)) { element in
                        element.nest(NFTA_SET_ELEM_KEY.rawValue) { key in
                            key.put(NFTA_DATA_VALUE.rawValue, bigEndian: transport)
                        }
                    }
                }
            }
        }
        return transports
    }

    private mutating func addPortmapperRules(_ shape: TableShape) {
        // iif "lo" accept
        addRule("portmapper", shape) {
            $0.isLoopback()
            $0.verdict(.accept)
        }

        // ip  saddr @quarantined4 counter drop
        // ip6 saddr @quarantined6 counter drop
        for (set, family) in [(TableSet.quarantined4, NFPROTO_IPV4), (.quarantined6, NFPROTO_IPV6)] {
            addRule("portmapper", shape) {
                $0.isFamily(family)
                $0.load(set.fields)
                $0.lookup(set.rawValue)
                $0.counter()
                $0.verdict(shape.observes ? .accept : .drop)
            }
        }

        // meta l4proto != @shielded accept
        addRule("portmapper", shape) {
            $0.load(TableSet.shielded.fields)
            $0.lookup(TableSet.shielded.rawValue, isInverted: true)
            $0.verdict(.accept)
        }

        // jump shielded_portmapper
        addRule("portmapper", shape) { $0.verdict(.jump("shielded_portmapper")) }

        // goto strangers
        addRule("portmapper", shape) { $0.verdict(.goTo("strangers")) }

        addStrangerLogRule(shape)

        // counter drop
        addRule("strangers", shape, comment: "while there are too many of them") {
            $0.counter()
            $0.verdict(shape.observes ? .accept : .drop)
        }
    }

    private mutating func addGuardedPortRules(_ shape: TableShape) {
        // ip  saddr . meta l4proto . th dport @granted4 update @granted4 { ip  saddr . … timeout 1d } goto admitted
        // ip6 saddr . meta l4proto . th dport @granted6 update @granted6 { ip6 saddr . … timeout 1d } goto admitted
        for (set, family) in [(TableSet.granted4, NFPROTO_IPV4), (.granted6, NFPROTO_IPV6)] {
            addRenewal("guarded_port", family, set, shape, then: "admitted")
        }

        // ip  saddr . meta l4proto . th dport @standing4 goto admitted
        // ip6 saddr . meta l4proto . th dport @standing6 goto admitted
        for set in TableSet.standing { addRule("guarded_port", shape) { $0.admit(set, .goTo("admitted")) } }

        addAdmittedFlowRule("guarded_port", shape, then: "admitted")

        addOwnReplyRule("guarded_port", shape, comment: "this host asked")

        addLogRules("guarded_port", [(.remembered4, NFPROTO_IPV4), (.remembered6, NFPROTO_IPV6)], shape)

        addDropRule("guarded_port", shape)
    }

    mutating func addRenewal(_ chain: String, _ family: Int, _ set: TableSet, _ shape: TableShape, then next: String) {
        addRule(chain, shape) {
            $0.isFamily(family)
            $0.load(set.fields)
            $0.lookup(set.rawValue)
            // nft prints the rule only if each use of the key has its own loads.
            $0.load(set.fields)
            $0.update(set, timeout: shape.keep)
            $0.verdict(.goTo(next))
        }
    }

    // ct state established ct direction original ct mark and BIT == BIT goto admitted
    mutating func addAdmittedFlowRule(_ chain: String, _ shape: TableShape, then next: String) {
        addRule(chain, shape, comment: "a flow that was admitted outlives its grant, unless revoked") {
            $0.isState(UInt32(CNF_CT_STATE_ESTABLISHED))
            $0.isReply(false)
            $0.hasFlowMark(shape.flowMark)
            $0.verdict(.goTo(next))
        }
    }

    // counter drop
    mutating func addDropRule(_ chain: String, _ shape: TableShape) {
        addRule(chain, shape, comment: shape.observes ? "observing: enforce would drop" : "not granted") {
            $0.counter()
            $0.verdict(shape.observes ? .accept : .drop)
        }
    }

    private mutating func addAdmittedRules(_ shape: TableShape) {
        addRecentRules("admitted", Self.recent, shape)

        // ct mark set ct mark or BIT
        addRule("admitted", shape) { $0.markFlow(shape.flowMark) }

        if shape.mark != 0 {
            // meta mark set meta mark or …
            addRule("admitted", shape, comment: "for the other tables' rules to honour") { $0.mark(shape.mark) }
        }

        // accept
        addRule("admitted", shape) { $0.verdict(.accept) }
    }

    mutating func addRule(
        _ chain: String, _ shape: TableShape, comment: String? = nil, _ fill: (borrowing RuleExpressions) -> Void
    ) {
        addRule(chain, table: shape.name, comment: comment, fill)
    }

    mutating func addRule(
        _ chain: String, table: String, comment: String? = nil, _ fill: (borrowing RuleExpressions) -> Void
    ) {
        let expressions = RuleExpressions(table: table, chain: chain, comment: comment)
        fill(expressions)
        let rule = expressions.rule
        message(NFT_MSG_NEWRULE, flags: NLM_F_CREATE | NLM_F_APPEND, table: table) {
            nftnl_rule_nlmsg_build_payload($0, rule)
        }
    }
}
