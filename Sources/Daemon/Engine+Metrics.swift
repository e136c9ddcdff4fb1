import Firewall
import Metrics

extension Engine {
    /// The values for a scrape.
    func snapshot() -> MetricsSnapshot {
        let now = HostClock.now()
        return MetricsSnapshot(
            version: Version.text, startedAt: warden.wallClock(at: startedAt), counters: warden.counters,
            gauges: warden.gauges(at: now), drops: dropsIfReadable(), auditLost: auditLost)
    }

    /// The drop counts; `nil` if they can't be read. `manage: sets` has no counters of rpcwarden's. A missing
    /// table is reported elsewhere.
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
