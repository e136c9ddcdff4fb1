import Addresses
import AuditTrail
import Clock
import Configuration
import Firewall
import Gate
import Policy
import Portmapper
import Upstream

/// What the daemon reads of the Warden's state.
extension Warden {
    public var settings: Settings { rules.settings }
    public var policy: Policy { rules.policy }
    public var policies: PolicySet { rules.policies }
    public var counters: Counters { journal.counters }
    public var registry: Registry? { servers[0].upstream.registry }
    public var isRpcbindUp: Bool? { servers[0].upstream.isReachable }
    /// Whether this host's rpcbind has answered, or isn't needed: a gateway may have none.
    public var isThisHostServed: Bool { registry != nil || settings.gateway != nil && policy.rules.isEmpty }
    /// The table is in place.
    public var isGuarding: Bool { gate.isTableMade }
    /// Calls are under way.
    public var isAnswering: Bool { exchanges.count > 0 }
    public var connectionCount: Int { watch.connections.count }
    public var grantCount: Int { gate.grantCount }
    public var guardedServices: Set<ServicePort> { gate.guarded }
    public var registryEntries: [Upstream.Entry] { servers[0].upstream.entries(guarded: gate.guarded) }
    /// Grows with each change that is worth saving.
    public var savingMark: UInt64 { guardMark + gate.savingMark }

    public func wallClock(at now: Instant) -> Timestamp { journal.wallClock(at: now) }

    /// The ledger's entry of a grant that the kernel lists.
    public func grant(_ key: GrantKey) -> Grant? { gate[key] }

    /// The guard to save; `nil` as long as the registry isn't known, because then the saved guard knows more.
    public func guardToSave(at now: Instant) -> GuardSnapshot? {
        guard servers[0].upstream.registry != nil else { return nil }
        let services = servers[0].upstream.services
        return gate.snapshot(
            programs: Dictionary(
                uniqueKeysWithValues: services.guarded.map { ($0, services.lastPrograms(at: $0)) }),
            sockets: services.guardedSockets.filter { !$0.value.isEmpty }, at: now,
            wallClock: journal.wallClock(at: now))
    }

    public func gauges(at now: Instant) -> Gauges {
        var gauges = Gauges()
        gauges.isEnforcing = settings.mode == .enforce
        gauges.isRpcbindUp = isRpcbindUp
        gauges.registrations = registry?.registrations.count ?? 0
        gauges.isTableInPlace = isGuarding
        gauges.guarded = gate.guarded.count
        gauges.orphaned = servers[0].upstream.orphanCount
        gauges.unguardable = registry?.unguardable.count ?? 0
        gauges.omitted = servers[0].upstream.omittedCount
        gauges.standing = gate.standingCount
        gauges.grants = gate.grantCount
        gauges.grantsMax = settings.limits.grants
        gauges.remembered = gate.rememberedCount
        gauges.quarantined = watch.quarantined.count
        gauges.shielded = Set(watch.shields.filter { $0.value > now }.keys)
        gauges.connections = connectionCount
        gauges.connectionsMax = settings.limits.tcpConnections
        gauges.callsUnderWay = exchanges.count
        return gauges
    }
}
