import Addresses
import CNetfilter
import Firewall

/// The chains of a gateway: calls to the servers' portmappers are intercepted, and the servers' ports are guarded on the
/// way of forwarded packets. docs/decisions/016-gateway-table.md.
extension Batch {
    private static let families = [
        (
            NFPROTO_IPV4, servers: TableSet.servers4, callers: TableSet.callers4, guarded: TableSet.guardedAt4,
            closed: TableSet.closedAt4, granted: TableSet.grantedAt4, standing: TableSet.standingAt4,
            quarantined: TableSet.quarantined4, toServer: "to_server4"
        ),
        (
            NFPROTO_IPV6, servers: TableSet.servers6, callers: TableSet.callers6, guarded: TableSet.guardedAt6,
            closed: TableSet.closedAt6, granted: TableSet.grantedAt6, standing: TableSet.standingAt6,
            quarantined: TableSet.quarantined6, toServer: "to_server6"
        ),
    ]

    mutating func addGateway(_ gateway: GatewayShape, _ shape: TableShape) {
        // chain intercept { type filter hook prerouting priority raw; policy accept; }
        addChain("intercept", shape.name, at: NF_INET_PRE_ROUTING, priority: -300)
        // chain answer { type filter hook output priority raw; policy accept; }
        addChain("answer", shape.name, at: NF_INET_LOCAL_OUT, priority: -300)
        // chain begin { type filter hook prerouting priority mangle; policy accept; }
        addChain("begin", shape.name, at: NF_INET_PRE_ROUTING, priority: -150)
        // chain forward { type filter hook forward priority filter - 10; policy accept; }
        addChain("forward", shape.name, at: NF_INET_FORWARD, priority: -10)
        for name in [
            "portmapper_at", "portmapper_of_server", "portmapper_of_client", "to_server4", "to_server6", "from_server",
            "begun_by_server", "guarded_port_at", "admitted_at", "shielded_portmapper_at", "short_way_at",
        ] {
            addChain(name, shape.name)
        }
        addInterceptRules(gateway, shape)
        addPortmapperRules(gateway, shape)
        addFastPath("forward", "short_way_at", Self.recentAt, shape)
        addForwardRules(shape)
        addBeginRules(shape)
        addGuardedPortAtRules(shape)
        for address in gateway.addresses {
            add(ElementKey(server: address))
            for transport in Transport.allCases { add(ElementKey(closed: 111...111, transport, at: address)) }
        }
        for closed in gateway.closed {
            guard let address = gateway.address(of: closed.server) else { continue }
            add(ElementKey(closed: closed.ports, closed.transport, at: address))
        }
    }

    private mutating func addInterceptRules(_ gateway: GatewayShape, _ shape: TableShape) {
        // The port comes first: it ends the rule sooner than the set does, and every packet passes here.
        // th dport 111 meta l4proto { tcp, udp } goto portmapper_at
        let called = addTransports(1, shape)
        addRule("intercept", shape) {
            $0.load([.port])
            $0.compare(NFT_CMP_EQ, UInt16(111).bigEndian)
            $0.isOf(called)
            $0.verdict(.goTo("portmapper_at"))
        }

        // icmp   type destination-unreachable socket transparent 1 meta mark set meta mark or … accept
        // icmpv6 type destination-unreachable socket transparent 1 meta mark set meta mark or … accept
        // icmpv6 type packet-too-big          socket transparent 1 meta mark set meta mark or … accept
        for (type, isIPv6) in [(UInt8(3), false), (1, true), (2, true)] {
            addRule("intercept", shape, comment: "errors about replies that left with a server's address") {
                $0.isICMP(type, ofIPv6: isIPv6)
                $0.isForTransparentSocket()
                $0.mark(gateway.serverMark | shape.mark)
                $0.verdict(.accept)
            }
        }

        // th sport 111 meta l4proto { tcp, udp } ip  saddr @servers4 notrack accept
        // th sport 111 meta l4proto { tcp, udp } ip6 saddr @servers6 notrack accept
        // th sport 111 meta l4proto { tcp, udp } ip  daddr . ip  saddr @callers4 notrack accept
        // th sport 111 meta l4proto { tcp, udp } ip6 daddr . ip6 saddr @callers6 notrack accept
        var number = 2
        for family in Self.families {
            for set in [family.servers, family.callers] {
                let answered = addTransports(number, shape)
                number += 1
                addRule("answer", shape) {
                    $0.load([.port], ofReply: true)
                    $0.compare(NFT_CMP_EQ, UInt16(111).bigEndian)
                    $0.isOf(answered)
                    $0.isFamily(family.0)
                    $0.load(set.fields, ofReply: true)
                    $0.lookup(set.rawValue)
                    $0.notrack()
                    $0.verdict(.accept)
                }
            }
        }
    }

    private mutating func addPortmapperRules(_ gateway: GatewayShape, _ shape: TableShape) {
        // ip  daddr @servers4 goto portmapper_of_server
        // ip6 daddr @servers6 goto portmapper_of_server
        // ip  saddr . ip  daddr @callers4 goto portmapper_of_client
        // ip6 saddr . ip6 daddr @callers6 goto portmapper_of_client
        for family in Self.families {
            for (set, chain) in [(family.servers, "portmapper_of_server"), (family.callers, "portmapper_of_client")] {
                addRule("portmapper_at", shape) {
                    $0.isFamily(family.0)
                    $0.load(set.fields)
                    $0.lookup(set.rawValue)
                    $0.verdict(.goTo(chain))
                }
            }
        }

        // ip  saddr @quarantined4 counter drop
        // ip6 saddr @quarantined6 counter drop
        for family in Self.families where !shape.observes {
            addRule("portmapper_of_server", shape) {
                $0.isFamily(family.0)
                $0.load(family.quarantined.fields)
                $0.lookup(family.quarantined.rawValue)
                $0.counter()
                $0.verdict(.drop)
            }
        }
        if !shape.observes { addShieldAtRules(shape) }
        addDelivery("portmapper_of_server", gateway.serverMark, firstSet: 6, shape)
        addDelivery("portmapper_of_client", gateway.clientMark, firstSet: 8, shape)
    }

    /// To this host's own listeners. If none listens, nothing passes.
    ///
    /// Quarantine and shield are about calls to servers, and precede these rules there. A call back comes from a server.
    private mutating func addDelivery(_ chain: String, _ mark: UInt32, firstSet: Int, _ shape: TableShape) {
        // notrack
        addRule(chain, shape, comment: "strangers' datagrams leave nothing in the table of flows") { $0.notrack() }

        // meta mark set meta mark or …
        addRule(chain, shape) { $0.mark(mark | shape.mark) }

        // meta nfproto ipv4 meta l4proto { tcp, udp } tproxy ip  to :111 accept
        // meta nfproto ipv6 meta l4proto { tcp, udp } tproxy ip6 to :111 accept
        for (index, family) in Self.families.enumerated() {
            let transports = addTransports(firstSet + index, shape)
            addRule(chain, shape) {
                $0.isFamily(family.0)
                $0.isOf(transports)
                $0.deliver(toPort: 111, family.0)
                $0.verdict(.accept)
            }
        }

        // counter drop
        addRule(chain, shape, comment: "nobody listens") {
            $0.counter()
            $0.verdict(.drop)
        }
    }

    private mutating func addForwardRules(_ shape: TableShape) {
        for family in Self.families {
            // ip daddr @servers4 goto to_server4
            addRule("forward", shape) {
                $0.isFamily(family.0)
                $0.load(family.servers.fields)
                $0.lookup(family.servers.rawValue)
                $0.verdict(.goTo(family.toServer))
            }

            // ip daddr . meta l4proto . th dport @guarded_at4 goto guarded_port_at
            // ip daddr . meta l4proto . th dport @closed_at4 goto guarded_port_at
            for set in [family.guarded, family.closed] {
                addRule(family.toServer, shape) {
                    $0.isFamily(family.0)
                    $0.load(set.fields)
                    $0.lookup(set.rawValue)
                    $0.verdict(.goTo("guarded_port_at"))
                }
            }
        }

        // ip  saddr @servers4 ct direction original goto from_server
        // ip6 saddr @servers6 ct direction original goto from_server
        for family in Self.families {
            addRule("forward", shape) {
                $0.isFrom(family.0, family.servers)
                $0.isReply(false)
                $0.verdict(.goTo("from_server"))
            }
        }

        // ip  saddr . ip  daddr . meta l4proto . th dport @granted_at4 update @granted_at4 { … } goto admitted_at
        // ip6 saddr . ip6 daddr . meta l4proto . th dport @granted_at6 update @granted_at6 { … } goto admitted_at
        for family in Self.families { addRenewal("from_server", family.0, family.granted, shape, then: "admitted_at") }
    }

    /// What servers ask for themselves: their flows are marked, and the replies come home. This is before
    /// routing: kernels before 5.19 look for the way back nowhere else.
    private mutating func addBeginRules(_ shape: TableShape) {
        // ct state new ip  saddr @servers4 goto begun_by_server
        // ct state new ip6 saddr @servers6 goto begun_by_server
        for family in Self.families {
            addRule("begin", shape) {
                $0.isState(UInt32(CNF_CT_STATE_NEW))
                $0.isFrom(family.0, family.servers)
                $0.verdict(.goTo("begun_by_server"))
            }
        }

        // ip  saddr . meta l4proto . th sport @guarded_at4 accept
        // ip6 saddr . meta l4proto . th sport @guarded_at6 accept
        for family in Self.families {
            addRule("begun_by_server", shape, comment: "answers of a guarded service are no flow of its own") {
                $0.isFrom(family.0, family.guarded)
                $0.verdict(.accept)
            }
        }

        // tcp flags & (syn | ack) != syn accept
        addRule("begun_by_server", shape) {
            $0.beginsConnection(false)
            $0.verdict(.accept)
        }

        // fib saddr . iif oif missing accept
        addRule("begun_by_server", shape, comment: "in the server's name, from another side") {
            $0.lacksWayBack()
            $0.verdict(.accept)
        }

        // ct mark set ct mark or BIT
        addRule("begun_by_server", shape, comment: "the replies come home") { $0.markFlow(shape.ownFlowMark) }
    }

    private mutating func addGuardedPortAtRules(_ shape: TableShape) {
        // ip  saddr . ip  daddr . meta l4proto . th dport @granted_at4 update @granted_at4 { … } goto admitted_at
        // ip6 saddr . ip6 daddr . meta l4proto . th dport @granted_at6 update @granted_at6 { … } goto admitted_at
        for family in Self.families {
            addRenewal("guarded_port_at", family.0, family.granted, shape, then: "admitted_at")
        }

        // ip  saddr . ip  daddr . meta l4proto . th dport @standing_at4 goto admitted_at
        // ip6 saddr . ip6 daddr . meta l4proto . th dport @standing_at6 goto admitted_at
        for family in Self.families {
            addRule("guarded_port_at", shape) { $0.admit(family.standing, .goTo("admitted_at")) }
        }

        addAdmittedFlowRule("guarded_port_at", shape, then: "admitted_at")
        addOwnReplyRule("guarded_port_at", shape, comment: "the server asked")

        // ip  saddr . ip  daddr . meta l4proto . th dport @remembered_at4 … log prefix "…" group …
        addLogRules("guarded_port_at", [(.rememberedAt4, NFPROTO_IPV4), (.rememberedAt6, NFPROTO_IPV6)], shape)

        addDropRule("guarded_port_at", shape)

        addRecentRules("admitted_at", Self.recentAt, shape)

        // ct mark set ct mark or BIT
        addRule("admitted_at", shape) { $0.markFlow(shape.flowMark) }
        // meta mark set meta mark or …
        if shape.mark != 0 { addRule("admitted_at", shape) { $0.mark(shape.mark) } }
        // accept
        addRule("admitted_at", shape) { $0.verdict(.accept) }
    }
}

extension RuleExpressions {
    /// `ip saddr @set`, or with further fields of the packet's source.
    fileprivate func isFrom(_ family: Int, _ set: TableSet) {
        isFamily(family)
        load(set.fields, ofReply: true)
        lookup(set.rawValue)
    }
}
