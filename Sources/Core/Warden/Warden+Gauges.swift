import Addresses
import AuditTrail
import Clock
import Firewall

extension Warden {
    public func gauges(at now: Instant) -> Gauges {
        var gauges = Gauges()
        gauges.isEnforcing = settings.mode == .enforce
        gauges.isRpcbindUp = isRpcbindUp
        gauges.registrations = registry?.registrations.count ?? 0
        gauges.isTableInPlace = isGuarding
        gauges.guarded = writer.guarded.count
        gauges.orphaned = orphansLogged.count
        gauges.unguardable = registry?.unguardable.count ?? 0
        gauges.omitted = registryListing.omitted
        gauges.standing = isGuarding ? writer.desiredStanding.count : 0
        gauges.grants = ledger.count
        gauges.grantsMax = settings.limits.grants
        gauges.remembered = memory.count
        gauges.quarantined = quarantines.clients.count
        gauges.shielded = Set(shield.ends.filter { $0.value > now }.keys)
        gauges.connections = connections.count
        gauges.connectionsMax = settings.limits.tcpConnections
        gauges.callsUnderWay = exchanges.count
        return gauges
    }
}
