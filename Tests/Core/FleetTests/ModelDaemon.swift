import Addresses
import Clock
import Fleet
import FleetRecords

/// A grant as it was issued once: by that node, at that time of its clock.
struct Fact: Hashable {
    var grant: SharedGrant
    var origin: String
    var issued: Timestamp
}

/// A daemon as a fleet sees it: the grants that it issued, and copies that its own policy permits.
struct ModelDaemon {
    struct Live {
        var record: GrantRecord
        var ends: Instant
        /// The port that is open: the program's own, here. `nil`: the program is not registered.
        var port: UInt16?
        var isUsed = false
    }

    let name: String
    /// How far its clock is from the right time.
    let skew: Duration
    /// Each node has its own ports.
    let firstPort: UInt16
    var deniedPrograms: Set<Program> = []
    var unregistered: Set<Program> = []
    var own: [SharedGrant: Live] = [:]
    var copies: [SharedGrant: Live] = [:]
    var ended: [SharedGrant: EndedRecord] = [:]
    var quarantined: [IPAddress: QuarantineRecord] = [:]

    func moment(at now: Instant) -> Moment {
        Moment(now, Timestamp(milliseconds: 1_800_000_000_000 + (now.nanoseconds + skew.nanoseconds) / 1_000_000))
    }

    func permits(_ grant: SharedGrant) -> Bool { !deniedPrograms.contains(grant.program) }

    func port(of program: Program) -> UInt16? {
        unregistered.contains(program) ? nil : firstPort + UInt16(program.rawValue % 100)
    }

    /// The daemon's own decision about an offer.
    mutating func take(_ offer: GrantOffer, at moment: Moment) {
        guard permits(offer.grant), own[offer.grant] == nil, offer.age < offer.keep else { return }
        let (now, wall) = (moment.instant, moment.wall)
        let known = copies[offer.grant]
        let offered = Timestamp(milliseconds: wall.milliseconds - offer.age.nanoseconds / 1_000_000)
        let used = known.map { max($0.record.used, offered) } ?? offered
        let ends = now + .milliseconds(used.milliseconds - wall.milliseconds) + offer.keep
        guard ends > now else { return }
        let record = GrantRecord(
            issued: offer.issued, used: used, rule: "", keep: offer.keep, origin: offer.origin)
        let wasUsed = known?.isUsed ?? false
        copies[offer.grant] = Live(
            record: record, ends: ends, port: port(of: offer.grant.program), isUsed: wasUsed)
    }

    var live: [SharedGrant: GrantRecord] {
        own.mapValues(\.record).merging(copies.mapValues(\.record)) { own, _ in own }
    }
}
