import Clock
import Firewall

extension Warden {
    /// The sources of denials that matter now: by denials in this episode, then by their last denial.
    public func foremostDenialEntries(limit: Int, at now: Instant) -> [DenialEntry] {
        denials.foremost(limit, activeSince: now - Self.recent).map(entry)
    }

    public var denialSourceCount: Int { denials.count }

    /// A source that was silent for longer ranks behind sources that weren't.
    private static let recent: Duration = .seconds(60)

    /// A few grants, each once; successive pages cover all grants. The order is any, and changes as grants come
    /// and go.
    public func grantPage(from start: Int, limit: Int) -> (keys: [GrantKey], next: Int) {
        ledger.some(from: start, limit: limit)
    }
}
