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
    /// Whether something is wrong while this host's rpcbind doesn't answer.
    public var needsRpcbind: Bool { registry != nil || !isThisHostServed }
    /// The table is in place.
    public var isGuarding: Bool { gate.isTableMade }
    /// Calls are under way.
    public var isAnswering: Bool { exchanges.count > 0 }
    public var connectionCount: Int { watch.connections.count }
    public var grantCount: Int { gate.grantCount }
    public var guardedServices: Set<ServicePort> { gate.guarded }
    public var registryEntries: [Upstream.Entry] { registryEntries(of: 0) }

    public func registryEntries(of server: ServerNumber) -> [Upstream.Entry] {
        servers[server].upstream.entries(guarded: gate.guarded)
    }

    /// The numbers of all servers, this host's first.
    public var serverNumbers: Range<ServerNumber> { servers.indices }
    public func serverNumber(of id: ServerID) -> ServerNumber { servers.number(of: id) }
    /// `nil`: this host.
    public func serverName(_ number: ServerNumber) -> String? { servers.name(number) }
    public func serverNumber(named name: String) -> ServerNumber? {
        servers.indices.first { servers.name($0) == name }
    }
    /// Grows with each change that is worth saving.
    public var savingMark: UInt64 { guardMark + gate.savingMark }

    public func wallClock(at now: Instant) -> Timestamp { journal.wallClock(at: now) }

    /// The ledger's entry of a grant that the kernel lists.
    public func grant(_ key: GrantKey) -> Grant? { gate[key] }

    /// The guard to save; `nil` as long as this host's registry isn't known, because then the saved guard knows more. On
    /// a gateway it is saved all the same: what wasn't read yet has kept what was saved of it.
    public func guardToSave(at now: Instant) -> GuardSnapshot? {
        guard isThisHostServed || settings.gateway != nil else { return nil }
        var programs: [ServicePort: Set<Program>] = [:]
        var sockets: [ServicePort: Set<UInt64>] = [:]
        for number in servers.indices {
            let services = servers[number].upstream.services
            for service in services.guarded where number == 0 || !rules.spares(service) {
                programs[service] = services.lastPrograms(at: service)
            }
            sockets.merge(services.guardedSockets.filter { !$0.value.isEmpty }) { first, _ in first }
        }
        return gate.snapshot(programs: programs, sockets: sockets, at: now, wallClock: journal.wallClock(at: now))
    }

    public func gauges(at now: Instant) -> Gauges {
        var gauges = Gauges()
        gauges.isEnforcing = settings.mode == .enforce
        gauges.isRpcbindUp = isRpcbindUp
        gauges.needsRpcbind = needsRpcbind
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
        let guarded = gate.guarded.reduce(into: [ServerNumber: Int]()) {
            $0[servers.number(of: $1.server), default: 0] += 1
        }
        gauges.servers = servers.indices.dropFirst().map { serverGauges(of: $0, guarded) }
        return gauges
    }

    private func serverGauges(of number: ServerNumber, _ guarded: [ServerNumber: Int]) -> ServerGauges {
        var gauges = ServerGauges(name: servers.name(number) ?? "", portmapper: portmapper(of: number))
        gauges.since = servers[number].upstream.since.map { journal.wallClock(at: $0) }
        gauges.registrations = servers[number].upstream.registry?.registrations.count ?? 0
        gauges.guarded = guarded[number] ?? 0
        gauges.grants = gate.grantCountOfServer.reduce(0) { $0 + (servers.number(of: $1.key) == number ? $1.value : 0) }
        return gauges
    }

    private func portmapper(of number: ServerNumber) -> ServerGauges.Portmapper {
        if servers[number].upstream.isReachable == true { return .up }
        if servers[number].upstream.registry != nil { return .down }
        return servers[number].upstream.services.guarded.isEmpty ? .never : .stale
    }
}
