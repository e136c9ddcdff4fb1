import Addresses
import Clock
import FleetRecords

/// What the daemon tells, applied to the node; what belongs to a resync is collected until that ends.
public struct DaemonInbox: Sendable {
    /// Why the daemon can't be followed; it is asked to tell everything anew.
    public enum Fault: Error, Hashable, Sendable, CustomStringConvertible {
        case unexpected
        case tooMuch

        public var description: String {
            switch self {
            case .unexpected: "the daemon told something out of its order"
            case .tooMuch: "the daemon told more than a node may have"
            }
        }
    }

    private struct Resync {
        var live: [SharedGrant: GrantRecord] = [:]
        var used: Set<SharedGrant> = []
        var ended: [SharedGrant: EndedRecord] = [:]
        var quarantined: [IPAddress: QuarantineRecord] = [:]
        /// What happened meanwhile, in its order.
        var later: [DaemonMessage] = []
    }

    private var resync: Resync?
    private let sharesQuarantines: Bool

    public init(_ facts: DaemonFacts) { sharesQuarantines = facts.sharesQuarantines }

    public mutating func received(
        _ message: DaemonMessage, _ node: inout FleetNode, at now: Moment, into actions: inout [FleetAction]
    ) throws(Fault) {
        switch message {
        case .resyncBegan: resync = Resync()
        case .resyncEnded:
            guard let told = resync else { throw .unexpected }
            resync = nil
            node.resynced(
                live: told.live, used: told.used, ended: told.ended, quarantined: told.quarantined, at: now,
                into: &actions)
            for message in told.later { apply(message, &node, at: now) }
        case .hello, .live, .remembered, .issued, .used, .ended, .expired, .quarantined, .released, .status:
            // Taken out, so that its tables aren't copied.
            guard var told = resync.take() else { return try applyOutside(message, &node, at: now) }
            defer { resync = told }
            try collect(message, into: &told)
        }
    }

    private func applyOutside(_ message: DaemonMessage, _ node: inout FleetNode, at now: Moment) throws(Fault) {
        switch message {
        case .hello, .live, .remembered: throw .unexpected
        case .issued, .used, .ended, .expired, .quarantined, .released, .status, .resyncBegan, .resyncEnded:
            apply(message, &node, at: now)
        }
    }

    private func collect(_ message: DaemonMessage, into told: inout Resync) throws(Fault) {
        // More than a node may have is left out, for the daemon would tell as much again.
        switch message {
        case .live(let grant, let record, let isUsed):
            guard told.live.count < FleetLimits.liveMax else { return }
            if told.live[grant].map({ $0.isOutdone(by: record) }) ?? true { told.live[grant] = record }
            if isUsed { told.used.insert(grant) }
        case .remembered(let grant, let record):
            if told.ended.count < FleetLimits.endedMax { told.ended[grant] = record }
        case .quarantined(let client, let record):
            guard sharesQuarantines, told.quarantined.count < FleetLimits.quarantinesOfNodeMax else { return }
            told.quarantined[client] = record
        case .issued, .used, .ended, .expired, .released, .status:
            guard told.later.count < FleetLimits.queueMax else { throw .tooMuch }
            told.later.append(message)
        case .hello, .resyncBegan, .resyncEnded: throw .unexpected
        }
    }

    private func apply(_ message: DaemonMessage, _ node: inout FleetNode, at now: Moment) {
        switch message {
        case .issued(let grant, let record): node.grantIssued(grant, record, at: now)
        case .used(let grant, let time): node.grantUsed(grant, at: Moment(now.instant, time))
        case .ended(let grant, let record): node.grantEnded(grant, record, at: now)
        case .expired(let grant): node.grantExpired(grant, at: now)
        case .quarantined(let client, let record):
            if sharesQuarantines { node.clientQuarantined(client, record, at: now) }
        case .released(let client): node.clientReleased(client, at: now)
        case .status(let status): node.statusChanged(status, at: now)
        case .hello, .live, .remembered, .resyncBegan, .resyncEnded: break
        }
    }
}

extension GrantRecord {
    /// The versions of a program may have several ports at one node, each with a record: its own counts before a copy,
    /// and of two the later use.
    fileprivate func isOutdone(by other: GrantRecord) -> Bool {
        (origin == nil ? 1 : 0, used) < (other.origin == nil ? 1 : 0, other.used)
    }
}
