import Addresses
import Clock
import Fleet
import FleetRecords
import TestSupport

/// A node whose store answers at once, and whose time a test advances.
struct FleetBench {
    static let start = Timestamp(milliseconds: 1_800_000_000_000)

    var node: FleetNode
    private(set) var now = Moment(at(0), start)
    var actions: [FleetAction] = []
    var pages: [StorePage] = []

    init(_ change: (inout FleetSettings) -> Void = { _ in }) {
        var settings = FleetSettings(node: "a", pair: "p")
        change(&settings)
        node = FleetNode(settings, seed: 1, at: now)
    }

    /// Connected, with its leases, in step with an empty store, and acquainted with its daemon.
    static func inStep(_ change: (inout FleetSettings) -> Void = { _ in }) -> FleetBench {
        var bench = FleetBench(change)
        bench.advance(.zero)
        bench.node.storeConnected(at: bench.now, into: &bench.actions)
        for lease in FleetLease.allCases { bench.node.leaseGranted(lease, at: bench.now) }
        bench.read(StorePage([], revision: 7, isLast: true))
        bench.read(StorePage([], revision: 7, isLast: true))
        bench.node.resynced(live: [:], used: [], ended: [:], quarantined: [:], at: bench.now, into: &bench.actions)
        bench.advance(.zero)
        bench.actions = []
        return bench
    }

    mutating func read(_ page: StorePage) { node.pageRead(page, at: now, into: &actions) }

    mutating func watched(_ changes: StoreChange...) { node.watched(changes, at: now, into: &actions) }

    /// Somebody, or NTP, sets this host's clock.
    mutating func set(_ wall: Timestamp) { now = Moment(now.instant, wall) }

    mutating func advance(_ duration: Duration) {
        now = Moment(now.instant + duration, now.wall + duration)
        node.timeAdvanced(at: now, into: &actions)
    }

    /// The actions since it was asked last.
    mutating func taken() -> [FleetAction] {
        defer { actions = [] }
        return actions
    }

    /// The operations since it was asked last; each transaction succeeds, and is seen.
    mutating func written() -> [StoreOperation] {
        var written: [StoreOperation] = []
        for case .transact(let id, let operations) in taken() {
            written += operations
            node.transactionEnded(id, succeeded: true, at: now)
            for operation in operations {
                switch operation {
                case .put(let key, let record, _): watched(.put(key, record))
                case .delete(let key): watched(.delete(key))
                }
            }
        }
        return written
    }

    mutating func offers() -> [GrantOffer] {
        taken().flatMap { action -> [GrantOffer] in
            if case .offerGrants(let offers) = action { offers } else { [] }
        }
    }

    mutating func quarantineOffers() -> [QuarantineOffer] {
        taken().flatMap { action -> [QuarantineOffer] in
            if case .offerQuarantines(let offers) = action { offers } else { [] }
        }
    }

    static func grant(_ number: UInt32) -> SharedGrant { SharedGrant(.v4(0xc000_0200 + number), .nfs, .tcp) }

    func record(keep: Duration = .seconds(400), issued: Duration = .zero) -> GrantRecord {
        GrantRecord(issued: now.wall + issued, used: now.wall + issued, rule: "nas", keep: keep)
    }

    func quarantine(for duration: Duration = .seconds(7200), _ evidence: QuarantineRecord.Evidence = .tcp)
        -> QuarantineRecord
    {
        QuarantineRecord(from: now.wall, until: now.wall + duration, evidence: evidence, denials: 20)
    }
}
