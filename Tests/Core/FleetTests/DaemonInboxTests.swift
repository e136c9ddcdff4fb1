import Addresses
import Clock
import Fleet
import FleetRecords
import TestSupport
import Testing

@Suite("what the daemon tells") struct DaemonInboxTests {
    private let first = FleetBench.grant(1)
    private let second = FleetBench.grant(2)

    private func inbox(sharing: Bool = true) -> DaemonInbox {
        var facts = DaemonFacts()
        facts.sharesQuarantines = sharing
        return DaemonInbox(facts)
    }

    private func tell(
        _ messages: DaemonMessage..., to inbox: inout DaemonInbox, _ bench: inout FleetBench
    ) throws(DaemonInbox.Fault) {
        for message in messages { try inbox.received(message, &bench.node, at: bench.now, into: &bench.actions) }
    }

    @Test("counts as a whole when it ends, with what happened meanwhile behind it")
    func resync() throws {
        var (inbox, bench) = (inbox(), FleetBench.inStep())
        let record = bench.record()
        try tell(
            .resyncBegan, .live(first, record, isUsed: false), .live(second, record, isUsed: false),
            .ended(first, EndedRecord(at: bench.now.wall, why: .revoked)), to: &inbox, &bench)
        bench.advance(.seconds(1))
        #expect(bench.written() == [])
        try tell(.resyncEnded, to: &inbox, &bench)
        bench.advance(.seconds(1))
        #expect(
            Set(bench.written().map(\.key)) == [
                .grant(pair: "p", node: "a", second), .ended(pair: "p", node: "a", first),
                .grant(pair: "p", node: "a", first),
            ])
    }

    @Test("counts from when it happened: a grant that was issued again stands, however late both are read")
    func backlog() throws {
        for isResync in [false, true] {
            var (inbox, bench) = (inbox(), FleetBench.inStep())
            let record = bench.record()
            if isResync { try tell(.resyncBegan, to: &inbox, &bench) }
            let end = EndedRecord(at: bench.now.wall + .seconds(1), why: .revoked)
            let again = GrantRecord(
                issued: bench.now.wall + .seconds(2), used: bench.now.wall + .seconds(2), rule: "", keep: .seconds(400))
            bench.advance(.seconds(60))
            try tell(.issued(first, record), .ended(first, end), .issued(first, again), to: &inbox, &bench)
            if isResync { try tell(.resyncEnded, to: &inbox, &bench) }
            bench.advance(.seconds(6))
            let written = bench.written()
            #expect(
                Set(written) == [
                    .put(.ended(pair: "p", node: "a", first), .ended(end), .records),
                    .put(.grant(pair: "p", node: "a", first), .grant(again), .records),
                ])
            // What the other node makes of it.
            var other = FleetBench.inStep { $0.node = "b" }
            for case .put(let key, let record, _) in written { other.watched(.put(key, record)) }
            other.advance(.seconds(1))
            #expect(other.offers().map(\.issued) == [again.issued])
        }
    }

    @Test(
        "has one record of a grant at two ports: this node's own before a copy, and of two the later use",
        arguments: [false, true])
    func twoPorts(isReversed: Bool) throws {
        var (inbox, bench) = (inbox(), FleetBench.inStep())
        let own = bench.record()
        var (copy, older) = (own, own)
        (copy.origin, copy.rule) = ("b", "")
        older.used = own.used + .seconds(-100)
        var told: [DaemonMessage] = [.live(first, own, isUsed: true), .live(first, copy, isUsed: false)]
        told += [.live(second, own, isUsed: true), .live(second, older, isUsed: true)]
        if isReversed { told.reverse() }
        for message in [.resyncBegan] + told + [.resyncEnded] {
            try inbox.received(message, &bench.node, at: bench.now, into: &bench.actions)
        }
        bench.advance(.seconds(6))
        #expect(
            Set(bench.written()) == [
                .put(.grant(pair: "p", node: "a", first), .grant(own), .records),
                .put(.grant(pair: "p", node: "a", second), .grant(own), .records),
            ])
    }

    @Test("is refused out of its order")
    func order() {
        var (inbox, bench) = (inbox(), FleetBench.inStep())
        #expect(throws: DaemonInbox.Fault.unexpected) { try tell(.resyncEnded, to: &inbox, &bench) }
        #expect(throws: DaemonInbox.Fault.unexpected) {
            try tell(.live(first, bench.record(), isUsed: false), to: &inbox, &bench)
        }
        #expect(throws: DaemonInbox.Fault.unexpected) { try tell(.hello(DaemonFacts()), to: &inbox, &bench) }
    }

    @Test("is bounded: changes during a resync end it, and other entries beyond the limits are left out")
    func bounds() throws {
        var (inbox, bench) = (inbox(), FleetBench.inStep())
        try tell(.resyncBegan, to: &inbox, &bench)
        for number in 0..<600 as Range<UInt32> {
            try tell(.quarantined(.v4(number), bench.quarantine()), to: &inbox, &bench)
        }
        for _ in 0..<FleetLimits.queueMax { try tell(.released(ip("192.0.2.1")), to: &inbox, &bench) }
        #expect(throws: DaemonInbox.Fault.tooMuch) { try tell(.released(ip("192.0.2.1")), to: &inbox, &bench) }
        try tell(.resyncEnded, to: &inbox, &bench)
        #expect(bench.node.quarantineRows.count == FleetLimits.quarantinesOfNodeMax)
    }

    @Test("says nothing of quarantines to others unless the node shares them")
    func unshared() throws {
        var (inbox, bench) = (inbox(sharing: false), FleetBench.inStep())
        try tell(.quarantined(ip("192.0.2.1"), bench.quarantine()), to: &inbox, &bench)
        try tell(
            .resyncBegan, .quarantined(ip("192.0.2.2"), bench.quarantine()), .resyncEnded, to: &inbox, &bench)
        bench.advance(.seconds(1))
        #expect(bench.written() == [])
    }
}

@Suite("what a node lists for people") struct FleetListTests {
    @Test("is each grant with its node and state, and each quarantine with whether it is in force")
    func rows() {
        var bench = FleetBench.inStep { $0.quorum = 2 }
        let (own, copied, ended) = (FleetBench.grant(1), FleetBench.grant(2), FleetBench.grant(3))
        bench.node.grantIssued(own, bench.record(), at: bench.now)
        for grant in [copied, ended] {
            bench.watched(.put(.grant(pair: "p", node: "b", grant), .grant(bench.record())))
        }
        bench.advance(.zero)
        bench.watched(
            .put(.ended(pair: "p", node: "b", ended), .ended(EndedRecord(at: bench.now.wall, why: .revoked))),
            .put(.quarantine(node: "b", ip("192.0.2.9")), .quarantine(bench.quarantine())))
        bench.advance(.seconds(1))
        let rows = bench.node.knownGrants.flatMap(bench.node.grantRows)
        #expect(rows.map(\.grant) == [own, copied, ended])
        #expect(rows.map(\.node) == ["a", "b", "b"])
        #expect(rows.map(\.state) == [.own, .copy, .foreign])
        #expect(rows.map(\.isEnded) == [false, false, true])
        #expect(bench.node.quarantineRows.map(\.isInForce) == [false])
    }

    @Test("is a silent node with when it was seen, for a month, and at most 1,024 nodes")
    func nodes() {
        let status = NodeStatus(
            version: "1", mode: "enforce", serial: 4, grants: 1, denialsPerHour: 0, since: FleetBench.start)
        var book = NodeBook()
        book.read([("a", status), ("b", status)], at: FleetBench.start)
        let later = FleetBench.start + .seconds(60)
        book.read([("b", status)], at: later)
        #expect(book.all.map(\.isSilent) == [true, false])
        #expect(book.all.map(\.seen) == [FleetBench.start, later])
        book.read([("b", status)], at: FleetBench.start + .seconds(30 * 86_400 + 1))
        #expect(book.all.map(\.node) == ["b"])
        book.read((0..<2000).map { ("n\($0)", status) }, at: later)
        #expect(book.all.count == NodeBook.nodesMax)
    }
}
