import Addresses
import Clock
import CoreSamples
import Firewall
import Testing

@testable import Gate

private let first = GrantKey("10.1.2.3", .tcp(20048))
private let second = GrantKey("10.1.2.4", .tcp(20048))
private let now = Instant(nanoseconds: 5)
private let later = now + .seconds(1)
private let broken = CommitFailure(errno: 1, message: "Operation not permitted")

private let full = CommitFailure(errno: 23, message: "Too many open files in system", operation: 4)

private func note(_ program: Program = .mountd) -> GrantNote {
    GrantNote(program: program, issued: Timestamp(milliseconds: 0), rule: "r")
}

private func issue(_ program: Program = .mountd) -> TableWriter.Issue {
    TableWriter.Issue(note: note(program), programs: Programs(program), timeout: .seconds(60))
}

private func guarding(_ ports: ServicePort..., standing: Set<StandingKey> = []) -> TableWriter.Elements {
    TableWriter.Elements(guarded: Set(ports), standing: standing)
}

@Suite("table writer") struct TableWriterTests {
    private static func made(_ elements: TableWriter.Elements = .init()) -> TableWriter {
        var writer = TableWriter(shape: TableShape())
        writer.desire(elements)
        _ = writer.nextTransaction(restoring: GrantLedger(), at: now)
        _ = writer.committed()
        return writer
    }

    private static func next(_ writer: inout TableWriter, at now: Instant = now) -> [Operation]? {
        writer.nextTransaction(restoring: GrantLedger(), at: now)?.operations
    }

    @Test("does nothing twice: one transaction is in flight at a time, and none without need")
    func oneAtATime() {
        var writer = TableWriter(shape: TableShape())
        #expect(Self.next(&writer) == [.makeTable(TableShape())])
        #expect(Self.next(&writer) == nil)
        #expect(!writer.isTableMade)
        #expect(writer.committed().isTableMade == true)
        #expect(writer.isTableMade)
        #expect(Self.next(&writer) == nil)
        #expect(writer.isIdle)
    }

    @Test("closes before it opens, revokes before it issues")
    func order() {
        let (old, new) = (StandingKey("10.1.0.0/16", .tcp(1)), StandingKey("10.2.0.0/16", .tcp(2)))
        var writer = Self.made(guarding(.tcp(1), standing: [old]))
        writer.issue(second, issue(), for: 1)
        writer.revoke(first)
        writer.desire(guarding(.tcp(2), standing: [new]))
        #expect(
            Self.next(&writer) == [
                .guardPort(.tcp(2)), .removeStanding(old), .addStanding(new), .unguardPort(.tcp(1)), .revoke(first),
                .issue(second, timeout: .seconds(60), expiresIn: nil, comment: note().description),
            ])
        let outcome = writer.committed()
        #expect((outcome.revoked, outcome.unstood, Array(outcome.issued.keys)) == ([first], [old], [second]))
    }

    @Test("who asks for the same grant meanwhile follows it, and adds its program")
    func waiters() {
        var writer = Self.made()
        writer.issue(first, issue(), for: 1)
        writer.issue(first, issue(.quota), for: 2)
        _ = Self.next(&writer)
        writer.issue(first, issue(.nfs), for: 3)
        let outcome = writer.committed()
        #expect(outcome.waiters.map(\.id) == [1, 2, 3])
        #expect(outcome.issued.map(\.value.programs.all) == [[.nfs, .mountd, .quota]])
        #expect(writer.grantsUnderWay(of: first.client) == 0)
        #expect(writer.isIdle)
    }

    @Test("who waits for elements that are wanted no more is let go all the same")
    func elementsWantedNoMore() {
        var writer = Self.made()
        writer.desire(guarding(.tcp(1)))
        #expect(writer.awaitsElements(1) == true)
        writer.desire(guarding())
        #expect(Self.next(&writer) == [])
        #expect(writer.committed().waiters.map(\.id) == [1])
        #expect(writer.isIdle)
    }

    @Test("who comes while a transaction is in flight waits for it, or for the one behind it")
    func joinsInFlight() {
        var writer = Self.made()
        #expect(writer.awaitsElements(0) == false)
        writer.desire(guarding(.tcp(1)))
        _ = Self.next(&writer)
        #expect(writer.awaitsElements(1) == true)
        writer.desire(guarding())
        #expect(writer.awaitsElements(2) == true)
        #expect(writer.committed().waiters.map(\.id) == [1])
        #expect(Self.next(&writer) == [.unguardPort(.tcp(1))])
        #expect(writer.committed().waiters.map(\.id) == [2])
        #expect(writer.isIdle)
    }

    @Test("a range that is on its way out of the table isn't in place, though it is wanted again")
    func wantedAgain() {
        let range = StandingKey("10.1.0.0/16", .tcp(1))
        var writer = Self.made(guarding(.tcp(1), standing: [range]))
        #expect(writer.isUnaffectedByPending(.tcp(1), standing: range))
        writer.desire(guarding(.tcp(1)))
        _ = Self.next(&writer)
        writer.desire(guarding(.tcp(1), standing: [range]))
        #expect(!writer.isUnaffectedByPending(.tcp(1), standing: range))
        _ = writer.committed()
        #expect(Self.next(&writer) == [.addStanding(range)])
    }

    @Test("a table that changed while a transaction was in flight is made anew")
    func changedInFlight() {
        for change in [
            { (writer: inout TableWriter) in writer.invalidate(at: later) }, { $0.shapeReplaced(TableShape(mark: 0)) },
        ] {
            var writer = Self.made(guarding(.tcp(1)))
            writer.desire(guarding(.tcp(2)))
            _ = Self.next(&writer)
            change(&writer)
            _ = writer.committed()
            #expect(!writer.isTableMade)
            #expect(Self.next(&writer, at: later) == [.makeTable(writer.shape), .guardPort(.tcp(2))])
        }
    }

    @Test("who comes while a transaction is in flight that the table's change has overtaken waits for the table")
    func outdatedInFlight() {
        var writer = Self.made()
        writer.desire(guarding(.tcp(1)))
        _ = Self.next(&writer)
        writer.invalidate(at: later)
        #expect(writer.awaitsElements(1) == true)
        #expect(writer.committed().waiters.isEmpty)
        #expect(Self.next(&writer, at: later) == [.makeTable(TableShape()), .guardPort(.tcp(1))])
        #expect(writer.committed().waiters.map(\.id) == [1])
    }

    @Test("who changes the table again and again is answered a few times a second")
    func paused() {
        var writer = Self.made(guarding(.tcp(1)))
        writer.invalidate(at: now)
        #expect(Self.next(&writer) == nil)
        #expect(Self.next(&writer, at: later) == [.makeTable(TableShape()), .guardPort(.tcp(1))])
    }

    @Test("remembers and forgets, and takes the memory along when the table is made anew")
    func memory() {
        var writer = Self.made()
        let entry = GrantMemory.Entry(note: note(), programs: Programs(.mountd), until: later + .seconds(60))
        writer.remember(first, entry)
        writer.forget(second)
        let operations = Self.next(&writer, at: later) ?? []
        let remembered = Operation.remember(first, timeout: .seconds(60), comment: note().description)
        #expect(Set(operations) == [remembered, .forget(second)])
        _ = writer.committed()
        #expect(writer.isIdle)
        var memory = GrantMemory()
        _ = memory.remember(first, entry, limit: 1)
        writer.invalidate(at: later)
        let remade = writer.nextTransaction(restoring: GrantLedger(), memory, at: later)?.operations
        #expect(remade == [.makeTable(TableShape()), remembered])
    }

    @Test("what is forgotten while its memory is in flight is forgotten, though the kernel refuses the transaction")
    func forgottenInFlight() {
        var writer = Self.made()
        writer.remember(
            first, GrantMemory.Entry(note: note(), programs: Programs(.mountd), until: later + .seconds(60)))
        writer.issue(second, issue(), for: 1)
        #expect(Self.next(&writer)?.count == 2)
        writer.forget(first)
        let refused = writer.failed(CommitFailure(errno: 23, message: "full", operation: 1), at: now).refused
        #expect(refused.map(\.waiters) == [[1]])
        #expect(Self.next(&writer) == [.forget(first)])
    }

    private static func ranges(_ count: UInt32, at base: UInt32) -> Set<StandingKey> {
        Set(
            (0..<count).map {
                StandingKey(clients: AddressRange(.v4(base + 2 * $0), .v4(base + 2 * $0)), service: .tcp(1))
            })
    }

    @Test("many ranges that go are exchanged with all others, few are taken out, and so are the administrator's")
    func exchange() {
        let (old, new) = (Self.ranges(50, at: 0), Self.ranges(50, at: 200))
        let stands = new.sorted().map(Operation.addStanding)
        var writer = Self.made(guarding(.tcp(1), standing: old.union(new)))
        writer.desire(guarding(.tcp(1), standing: new))
        #expect(Self.next(&writer) == [.replaceStanding] + stands)
        #expect(writer.committed().unstood == old.sorted())

        let few = old.sorted().prefix(3)
        writer = Self.made(guarding(.tcp(1), standing: new.union(few)))
        writer.desire(guarding(.tcp(1), standing: new))
        #expect(Self.next(&writer) == few.map(Operation.removeStanding))

        writer = TableWriter(shape: TableShape(management: .sets))
        writer.desire(guarding(.tcp(1), standing: old))
        _ = Self.next(&writer)
        _ = writer.committed()
        writer.desire(guarding(.tcp(1), standing: new))
        #expect(Self.next(&writer) == old.sorted().map(Operation.removeStanding) + stands)
    }

    @Test("a server's elements take the place of its former ones, also after a failure, and beside one in flight")
    func inPlace() {
        let (old, new) = (StandingKey("10.1.0.0/16", .tcp(1)), StandingKey("10.1.0.0/16", .tcp(2)))
        let all = guarding(.tcp(1), .tcp(9), standing: [old])
        let move = [
            Operation.guardPort(.tcp(2)), .removeStanding(old), .addStanding(new), .unguardPort(.tcp(1)),
        ]
        var writer = Self.made(all)
        let (former, latter) = (guarding(.tcp(1), standing: [old]), guarding(.tcp(2), standing: [new]))
        writer.desire(latter, inPlaceOf: former)
        #expect(!writer.isSettled)
        writer.issue(first, issue(), for: 1)
        #expect(Self.next(&writer)?.prefix(4) == move[...])
        // The set of grants is full: nothing of the transaction was done.
        #expect(writer.failed(full, at: now).refused.map(\.waiters) == [[1]])
        writer.desire(guarding(.tcp(3)), inPlaceOf: latter)
        #expect(writer.guarded == all.guarded)
        #expect(Self.next(&writer) == [.guardPort(.tcp(3)), .removeStanding(old), .unguardPort(.tcp(1))])
        writer.desire(former, inPlaceOf: guarding(.tcp(3)))
        _ = writer.committed()
        #expect(writer.guarded == [.tcp(3), .tcp(9)])
        #expect(
            Self.next(&writer, at: later) == [.guardPort(.tcp(1)), .addStanding(old), .unguardPort(.tcp(3))])
        #expect(writer.committed().unstood == [])
        #expect(writer.isIdle && writer.guarded == all.guarded)
        writer.desire(latter, inPlaceOf: former)
        writer.desire(former, inPlaceOf: latter)
        #expect(Self.next(&writer, at: later) == nil)
    }

    @Test("standing elements that a remade table lacks are told of")
    func unstoodByRemaking() {
        let old = StandingKey("10.1.0.0/16", .tcp(1))
        var writer = Self.made(guarding(.tcp(1), standing: [old]))
        writer.desire(guarding(.tcp(1)))
        writer.invalidate(at: later)
        _ = Self.next(&writer, at: later)
        #expect(writer.committed().unstood == [old])
    }

    @Test("restores the ledger, but for what is revoked or issued anew")
    func restores() {
        var ledger = GrantLedger()
        let third = GrantKey("10.1.2.5", .tcp(20048))
        for (index, key) in [first, second, third].enumerated() {
            let expires = now + .seconds(10 * (index + 1))
            ledger.record(
                key,
                Grant(
                    programs: Programs(.mountd), rule: "r", issued: .init(milliseconds: 0), expiresNotBefore: expires))
        }
        var writer = TableWriter(shape: TableShape(keep: .seconds(15)))
        writer.revoke(second)
        let operations = writer.nextTransaction(restoring: ledger, at: now)?.operations ?? []
        let comment = note().description
        #expect(
            Set(operations) == [
                .makeTable(writer.shape), .revoke(second),
                .issue(first, timeout: .seconds(15), expiresIn: .seconds(10), comment: comment),
                .issue(third, timeout: .seconds(15), expiresIn: nil, comment: comment),
            ])
        let outcome = writer.committed()
        #expect(outcome.restored == [third])
        #expect(outcome.revoked == [second])
    }

    @Test("fails: makes the table anew once, then refuses those who wait and pauses")
    func fails() {
        var writer = Self.made(guarding(.tcp(1)))
        writer.issue(first, issue(), for: 1)
        _ = Self.next(&writer)
        #expect(writer.failed(broken, at: now).refused.isEmpty)
        #expect(Self.next(&writer)?.prefix(2) == [.makeTable(TableShape()), .guardPort(.tcp(1))])
        writer.revoke(second)
        #expect(writer.failed(broken, at: now).refused.map(\.waiters) == [[1]])
        #expect(Self.next(&writer) == nil)
        #expect(
            Self.next(&writer, at: now + .milliseconds(200)) == [
                .makeTable(TableShape()), .guardPort(.tcp(1)), .revoke(second),
            ])
        #expect(writer.failed(broken, at: now + .milliseconds(200)).refused.map(\.waiters) == [[]])
        #expect(writer.grantsUnderWay(of: first.client) == 0)
        #expect(Self.next(&writer, at: now + .milliseconds(400))?.count == 3)
        _ = writer.committed()
        #expect(writer.isIdle)
    }

    @Test("an index that isn't ours is no grant's fault", arguments: [-1, 99])
    func strangeIndex(index: Int) {
        var writer = Self.made()
        writer.issue(first, issue(), for: 1)
        _ = Self.next(&writer)
        #expect(writer.failed(CommitFailure(errno: 23, message: "full", operation: index), at: now).refused.isEmpty)
        #expect(Self.next(&writer)?.count == 2)
    }
}
