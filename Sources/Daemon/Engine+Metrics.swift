import Firewall
import Metrics

extension Engine {
    /// What a scrape is told.
    func snapshot() -> MetricsSnapshot {
        let now = HostClock.now()
        return MetricsSnapshot(
            version: Version.text, startedAt: warden.wallClock(at: startedAt), counters: warden.counters,
            gauges: warden.gauges(at: now), drops: dropsIfReadable(), auditLost: auditLost)
    }

    /// `manage: sets` has no counters of ours. A table that is gone is told of by other means.
    func dropsIfReadable() -> DropCounts? {
        guard warden.settings.firewall.management == .guardPorts, warden.isGuarding, !netfilter.isBusy else {
            return nil
        }
        do {
            return try netfilter.drops()
        } catch {
            failed("\(error)")
            return nil
        }
    }
}
