import Clock
import Configuration
import Fleet
import FleetRecords

/// What the sidecar is, once the daemon has said what it wants.
struct SidecarFacts: Sendable {
    var fleet: String
    var node: String
    var daemon: DaemonFacts

    var settings: FleetSettings {
        var settings = FleetSettings(node: node, pair: daemon.pair)
        settings.grantsMax = daemon.grantsMax
        settings.keepMax = min(daemon.keep, GrantRecord.keepMax)
        settings.acceptsQuarantines = daemon.acceptsQuarantines
        settings.quarantinesMax = min(daemon.quarantinesMax, FleetLimits.quarantinesMax)
        settings.quorum = max(daemon.quorum, 1)
        settings.quarantineFor = daemon.quarantineFor
        return settings
    }

    var keys: StoreKeys {
        StoreKeys(fleet: fleet, node: node, pair: daemon.pair, ranges: settings.ranges, group: daemon.policyGroup)
    }
}
