import Clock
import Firewall

extension Warden {
    /// The sources of denials that matter now: those that are denied most in this episode, then those denied last.
    public func foremostDenialEntries(limit: Int, at now: Instant) -> [DenialEntry] {
        denials.foremost(limit, activeSince: now - Self.recent).map(entry)
    }

    public var denialSourceCount: Int { denials.count }

    /// A source that was silent for longer stands behind those that weren't.
    private static let recent: Duration = .seconds(60)

    /// A few grants, each once, so that by and by all are had; the order is any, and changes as grants come and go.
    public func grantPage(from start: Int, limit: Int) -> (keys: [GrantKey], next: Int) {
        ledger.some(from: start, limit: limit)
    }
}
