import Addresses
import AuditTrail
import Clock
import Policy
import PolicyDrafts
import PolicyFile
import TestSupport
import Testing

/// The policy learned from a log of events.
private func learned(
    _ events: [AuditEvent], _ aggregation: Aggregation = .none, listsOverUDP: Bool = false
) -> (policy: Policy, parsed: ParsedPolicy, text: String, warnings: [String]) {
    var lessons = ObservedCalls(listsOverUDP: listsOverUDP)
    for (index, event) in events.enumerated() {
        lessons.note(event, at: Timestamp(milliseconds: 1_795_000_000_000 + Int64(index) * 1000))
    }
    let draft = lessons.draft(aggregation, names: names)
    let parsed = parsed(draft.policy)
    return (Policy(rules: parsed.rules), parsed, draft.policy.text(names: names), draft.warnings)
}

/// A lookup that observe mode let pass.
private func observed(
    _ client: String, _ program: Program?, _ procedure: String = "getport", over: Transport? = .tcp,
    by transport: Transport = .tcp, reason: DenialReason = .stranger
) -> AuditEvent {
    var event = AuditEvent(.denied)
    event.client = ip(client)
    event.transport = transport
    event.program = program
    event.procedure = procedure
    event.over = over
    event.reason = reason
    event.isEnforced = false
    return event
}

extension AuditEvent {
    fileprivate func with(_ change: (inout AuditEvent) -> Void) -> AuditEvent {
        var event = self
        change(&event)
        return event
    }
}

@Suite("learn behind a gateway") struct LearnServersTests {
    private func learned(_ events: [AuditEvent]) -> (rules: [Rule], text: String, warnings: [String]) {
        var lessons = ObservedServers(listsOverUDP: false)
        for (index, event) in events.enumerated() {
            lessons.note(event, at: Timestamp(milliseconds: 1_795_000_000_000 + Int64(index) * 1000))
        }
        let draft = lessons.draft(.none, names: names)
        return (parsed(draft.policy).rules, draft.policy.text(names: names), draft.warnings)
    }

    @Test("a call to a server is permitted at that server, and neither at this host nor at another server")
    func servers() {
        let events = [
            observed("10.0.0.1", .mountd).with { $0.server = "filer1" },
            observed("10.0.0.2", .mountd).with { $0.server = "filer2" }, observed("10.0.0.3", .mountd),
        ]
        let (rules, text, warnings) = learned(events)
        #expect(rules.map(\.at) == [.thisHost, .servers(["filer1"]), .servers(["filer2"])], "\(text)")
        for (server, client) in [("filer1", "10.0.0.1"), ("filer2", "10.0.0.2"), (nil, "10.0.0.3")] {
            let policy = Policy(rules: rules.about(server))
            for asker in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
                let isPermitted = asker == client
                let answer = policy.lookup(.mountd, over: .tcp, by: ip(asker))
                #expect(answer == (isPermitted ? .permitted(rule: 0, open: .onLookup) : .stranger))
            }
        }
        #expect(warnings == [] && text.contains("from 2026-"))
        #expect(Set(rules.map(\.name)).count == 3)
    }

    @Test("this host's remarks and a server's are told apart")
    func remarks() {
        let gone = observed("10.0.0.1", .mountd, reason: .rate)
        let texts = learned([gone, gone.with { $0.server = "filer1" }]).warnings
        #expect(texts.count == 2 && texts.count { $0.hasPrefix("at filer1: 1 call beyond") } == 1, "\(texts)")
    }

    @Test("callbacks need no rule, and a name that no server can have gets into no draft")
    func notLearned() {
        let callback = observed("10.0.0.9", .nlockmgr).with {
            $0.server = "filer1"
            $0.rule = "callbacks of filer1"
        }
        let forged = observed("10.0.0.1", .mountd).with { $0.server = "a\"]\nrules: []" }
        let (rules, text, warnings) = learned([callback, forged])
        #expect(rules.isEmpty && !text.contains("10.0.0.9"))
        #expect(warnings == ["1 event of servers that no policy can name: not learned from"])
    }
}

@Suite("learn") struct LearnTests {
    @Test("a look-up is permitted to its client, over its transport; nothing else to nobody else")
    func lookup() {
        let policy = learned([observed("10.0.0.1", .mountd, over: .udp)]).policy
        #expect(policy.lookup(.mountd, over: .udp, by: ip("10.0.0.1")) == .permitted(rule: 0, open: .onLookup))
        #expect(policy.lookup(.mountd, over: .tcp, by: ip("10.0.0.1")) == .transport)
        #expect(policy.lookup(.status, over: .udp, by: ip("10.0.0.1")) == .noRule)
        #expect(policy.lookup(.mountd, over: .udp, by: ip("10.0.0.0")) == .stranger)
        #expect(policy.lookup(.mountd, over: .udp, by: ip("10.0.0.2")) == .stranger)
        #expect(policy.listing(by: ip("10.0.0.1")) == .noList)
    }

    @Test("nfs is always open, and check has no word on it")
    func nfs() {
        let found = learned([.nfs, .mountd, .nlockmgr, .status].map { observed("10.0.0.1", $0) })
        #expect(found.policy.lookup(.nfs, over: .tcp, by: ip("10.0.0.1")) == .permitted(rule: 0, open: .always))
        #expect(found.policy.lookup(.nlockmgr, over: .tcp, by: ip("10.0.0.1")) == .permitted(rule: 1, open: .onLookup))
        #expect(found.parsed.diagnostics == [] && found.parsed.rules.count == 2)
    }

    @Test("an NFSv3 client that never locked is told of")
    func lockless() {
        let text = learned([observed("10.0.0.1", .nfs), observed("10.0.0.1", .mountd)]).text
        #expect(text.contains("# No lock seen; for locks they need nlockmgr and status: 10.0.0.1"))
    }

    @Test("programs of the same clients share a rule; clients of the same programs too")
    func grouping() {
        let found = learned(
            ["10.0.0.1", "10.0.0.9", "fd00::1"].flatMap { client in
                [.mountd, .status].map { observed(client, $0, over: .tcp) } + [observed(client, .status, over: .udp)]
            } + [observed("10.0.0.1", .nlockmgr)])
        #expect(found.parsed.rules.count == 3, "\(found.text)")
        #expect(found.text.contains("from: [10.0.0.1, 10.0.0.9, \"fd00::1\"]"))
    }

    @Test("a lister may list and sees what it looked up; others still may not")
    func lists() {
        let found = learned([
            observed("10.0.0.1", .mountd), observed("10.0.0.1", .portmapper, "dump", over: nil),
            observed("10.0.0.2", .mountd), observed("10.0.0.3", .portmapper, "dump", over: nil),
        ])
        #expect(found.policy.listing(by: ip("10.0.0.1")) != .noList)
        #expect(found.policy.lists(.mountd, over: .tcp, for: ip("10.0.0.1")))
        #expect(found.policy.listing(by: ip("10.0.0.2")) == .noList)
        #expect(found.policy.listing(by: ip("10.0.0.3")) != .noList)
        #expect(found.policy.lookup(.mountd, over: .tcp, by: ip("10.0.0.3")) == .noRule)
    }

    @Test("GETADDRLIST looks the program up over every transport, and lists nothing else")
    func addressList() {
        let policy = learned([observed("10.0.0.1", .mountd, "getaddrlist", over: nil)]).policy
        #expect(policy.listing(by: ip("10.0.0.1")) == .noList)
        for transport in Transport.allCases {
            #expect(policy.lookup(.mountd, over: transport, by: ip("10.0.0.1")) != .noRule)
        }
    }

    @Test("who only said hello is named, and may do nothing more")
    func greeting() {
        let found = learned([
            observed("10.0.0.1", .portmapper, "null", over: nil), observed("10.0.0.2", .portmapper, "getaddr"),
        ])
        #expect(found.policy.lists(ip("10.0.0.1")) && found.policy.lists(ip("10.0.0.2")))
        #expect(found.parsed.rules.map(\.to) == [[.portmapper]] && found.parsed.rules.map(\.open) == [.never])
    }

    @Test("a listing over UDP is learned only where limits.udp-list serves it")
    func listingOverUDP() {
        let events = [observed("10.0.0.1", .portmapper, "dump", over: nil, by: .udp), observed("10.0.0.1", .mountd)]
        let without = learned(events)
        #expect(without.policy.listing(by: ip("10.0.0.1")) == .noList)
        #expect(without.warnings.contains { $0.contains("limits.udp-list") })
        #expect(learned(events, listsOverUDP: true).policy.listing(by: ip("10.0.0.1")) == .permitted(rule: 0))
    }

    @Test(
        "nothing is learned from what was denied in earnest, from this host, or from what no policy permits",
        arguments: [
            observed("10.0.0.1", .mountd).with { $0.isEnforced = true },
            observed("10.0.0.1", .mountd, "set").with {
                $0.isEnforced = true
                $0.reason = .remoteRegistration
            },
            observed("10.0.0.1", .portmapper, "getstat", over: nil),
            observed("10.0.0.1", .mountd, reason: .rate), observed("10.0.0.1", .mountd, reason: .untrustedOwner),
            observed("10.0.0.1", .mountd, reason: .neverPort), observed("10.0.0.1", Program(0)),
            observed("127.0.0.1", .mountd), observed("::1", .mountd), observed("224.0.0.1", .mountd),
            observed("10.0.0.1", nil), observed("10.0.0.1", .mountd, "4711"),
            observed("10.0.0.1", .mountd).with { $0.kind = .malformed },
            observed("10.0.0.1", .mountd).with { $0.kind = .granted },
            observed("10.0.0.1", .mountd).with { $0.kind = .probed },
            observed("10.0.0.1", .nfs).with {
                $0.kind = .probed
                $0.isEnforced = true
            },
        ])
    func notLearned(event: AuditEvent) {
        #expect(learned([event]).parsed.rules.isEmpty)
    }

    @Test("an address of this host needs no rule")
    func ownAddress() {
        var own = observed("10.0.0.1", .mountd).with { $0.kind = .permitted }
        #expect(learned([own, observed("10.0.0.1", .portmapper, "null")]).parsed.rules.isEmpty)
        own.rule = "policy.yaml:3 \"some rule\""
        #expect(
            learned([own]).policy.lookup(.mountd, over: .tcp, by: ip("10.0.0.1"))
                == .permitted(rule: 0, open: .onLookup))
    }

    @Test("a client known by its packets to nfs alone is an NFSv4 client")
    func nfsv4() {
        let probe = observed("10.0.0.1", .nfs).with {
            $0.kind = .probed
            $0.over = nil
            $0.reason = nil
        }
        let found = learned([probe])
        #expect(found.policy.lookup(.nfs, over: .tcp, by: ip("10.0.0.1")) == .permitted(rule: 0, open: .always))
        #expect(found.policy.lookup(.nfs, over: .udp, by: ip("10.0.0.1")) == .transport)
        #expect(found.text.contains("Seen only by packets to nfs") && found.parsed.diagnostics == [])
    }

    @Test("a log that doesn't tell the service's transport teaches both")
    func olderLog() {
        let policy = learned([observed("10.0.0.1", .mountd, over: nil)]).policy
        for transport in Transport.allCases {
            #expect(policy.lookup(.mountd, over: transport, by: ip("10.0.0.1")) == .permitted(rule: 0, open: .onLookup))
        }
        let newer = learned([observed("10.0.0.1", .mountd, "getaddr", over: nil)]).policy
        #expect(newer.lookup(.mountd, over: .udp, by: ip("10.0.0.1")) == .transport)
    }

    @Test("a rule says what it was learned from, and whom to look at")
    func comments() {
        let found = learned([
            observed("10.0.0.1", .mountd), observed("10.0.0.1", .mountd, by: .udp),
            observed("10.0.0.2", .mountd, by: .udp), observed("10.0.0.1", .status, over: .udp, by: .udp),
            AuditEvent(.enumeration).with { $0.client = ip("10.0.0.1") },
            AuditEvent(.suppressed, detail: "denied").with { $0.count = 12 },
        ])
        for line in [
            "Learned from 3 calls of 2 clients, 2026-11-18T11:06:40Z to 2026-11-18T11:06:42Z; enforce would have denied 3.",
            "Suspected of enumeration, review them: 10.0.0.1",
            "Seen only over UDP, where addresses can be forged: 10.0.0.2", "12 lines missing from the log",
        ] { #expect(found.text.contains("# \(line)"), "\(found.text)") }
        // A call over TCP, for any purpose, proved the address of one of the two clients.
        #expect(found.text.split(separator: "\n").count { $0.contains("only over UDP") } == 1)
        #expect(found.warnings.contains { $0.contains("12 lines") })
    }

    @Test(
        "lines of calls that the log lacks are warned of, be it by its rate or for want of room",
        arguments: [
            ("denied", 12), ("the log could not be written: 12 lines lost", 12), (nil, 12), ("registered", nil),
            ("probed", .max),
        ] as [(String?, Int?)])
    func missingLines(detail: String?, count: Int?) {
        let lost = AuditEvent(.suppressed, detail: detail).with { $0.count = count ?? 12 }
        let found = learned([observed("10.0.0.1", .mountd)] + Array(repeating: lost, count: count == .max ? 2 : 1))
        #expect(found.warnings.contains { $0.contains("missing from the log") } == (count != nil))
        if let count { #expect(found.warnings.contains { $0.hasPrefix("\(count) lines") }, "\(found.warnings)") }
    }

    @Test("a transient program is learned as it was, with a word about the range")
    func transient() {
        let found = learned([observed("10.0.0.1", Program(0x4000_0007))])
        #expect(found.parsed.rules.map(\.to) == [[Program(0x4000_0007)]])
        #expect(found.text.contains("# Program numbers 0x40000000-0x5fffffff are transient"))
        #expect(!learned([observed("10.0.0.1", .mountd)]).text.contains("transient"))
    }

    @Test("a prefix is no wider than asked, and holds only clients that share it")
    func aggregation() {
        let events = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.9.1", "10.0.9.200", "fd00::1", "fd00::2"].map {
            observed($0, .mountd)
        }
        let from = { (aggregation: Aggregation) in learned(events, aggregation).parsed.rules[0].from.map(written) }
        #expect(from(.none).count == 7)
        #expect(
            from(Aggregation(ipv4Length: 24, ipv6Length: 128)) == [
                "10.0.0.0/30", "10.0.1.1", "10.0.9.0/24", "\"fd00::1\"", "\"fd00::2\"",
            ])
        #expect(from(Aggregation(ipv4Length: 16, ipv6Length: 64)) == ["10.0.0.0/20", "\"fd00::/126\""])
    }

    @Test("forged sources don't fill the memory, and are told of")
    func bounded() {
        let (room, over) = (1000, 10)
        var lessons = ObservedCalls(listsOverUDP: false, entriesMax: room)
        for number in 0..<UInt32(room + over) {
            var event = observed("10.0.0.1", Program(number % 7 + 200_000))
            event.client = .v4(0x0b00_0000 + number)
            lessons.note(event, at: Timestamp(milliseconds: 0))
        }
        let draft = lessons.draft(.none, names: names)
        #expect(draft.warnings.contains { $0.hasPrefix("\(over) calls not learned") })
        #expect(Set(parsed(draft.policy).rules.flatMap(\.from)).count == room)
    }
}
