import Addresses
import Calls
import Clock
import Firewall
import Policy
import Portmapper

extension Warden {
    /// The kernel's table as an earlier run left it; its grants are adopted, and checked once rpcbind has answered.
    ///
    /// - Parameter saved: the guarded ports as that run knew them, with sockets of this boot only.
    public mutating func tableFound(_ contents: TableContents, saved: SavedGuard? = nil, at now: Instant) {
        adoptGuard(contents, saved, at: now)
        let never = settings.firewall.never
        // All grants were made by few rules.
        var labels: Set<String> = []
        ledger.reserve(contents.granted.count)
        for element in contents.granted where !never.contains(element.key.service.port) {
            guard let note = GrantNote(element.comment) else { continue }
            ledger.record(
                element.key,
                Grant(
                    programs: Programs(note.program), rule: labels.insert(note.rule).memberAfterInsert,
                    issued: note.issued, expiresNotBefore: now + element.expiresIn,
                    isUnproven: lives.isUnproven(element)))
        }
        if contents.grantsMayBeKept, ledger.count == contents.granted.count { writer.keepGrants() }
        for element in contents.remembered {
            guard var note = GrantNote(element.comment) else { continue }
            note.rule = labels.insert(note.rule).memberAfterInsert
            let entry = GrantMemory.Entry(
                note: note, programs: Programs(note.program), until: now + element.expiresIn)
            _ = memory.remember(element.key, entry, limit: settings.limits.grants)
        }
        for (client, left) in contents.quarantined where !isExempt(client) {
            _ = quarantines.add(client, until: now + left)
        }
        var elements = elements()
        elements.standing = contents.standing.filter {
            !never.contains($0.service.port) && $0.service.port != Self.portmapperPort
        }
        if !pending.isEmpty {
            unjudged = Unjudged(grants: Set(ledger.keys).union(memory.entries.keys), standing: elements.standing)
        }
        writer.desire(elements)
        revokeExcess()
    }

    private mutating func adoptGuard(_ contents: TableContents, _ saved: SavedGuard?, at now: Instant) {
        var adopted: [ServicePort: ServiceTable.Adopted] = [:]
        // A port that the settings guard, or guarded when that run ended, is no service for that reason.
        let settled = settings.firewall.guardPorts + (saved?.firewall.guardPorts ?? [])
        for service in contents.guarded
        where saved?.programs[service] != nil || !settled.contains(where: { $0.covers(service) }) {
            adopted[service] = ServiceTable.Adopted(of: service, saved)
        }
        for element in contents.granted {
            guard adopted[element.key.service] != nil, let note = GrantNote(element.comment) else { continue }
            adopted[element.key.service]?.programs.insert(note.program)
        }
        services.adopt(guarded: adopted, at: now)
    }

    /// There is no table yet: the ports that were guarded last stay guarded until the registry is known, and the
    /// memories are kept.
    public mutating func tableMissing(saved: SavedGuard? = nil, at now: Instant) {
        if let saved {
            services.adopt(
                guarded: Dictionary(
                    uniqueKeysWithValues: saved.programs.keys.map { ($0, ServiceTable.Adopted(of: $0, saved)) }),
                at: now)
            for (key, memory, left) in saved.memories(for: settings, at: wallClock(at: now)) {
                let entry = GrantMemory.Entry(note: memory.note, programs: memory.programs, until: now + left)
                _ = self.memory.remember(key, entry, limit: settings.limits.grants)
            }
            if !pending.isEmpty { unjudged = Unjudged(grants: Set(memory.entries.keys), standing: []) }
        }
        // The saved guard opens nothing: the listeners have not been inspected yet.
        var elements = elements()
        elements.standing = Set(admitted)
        writer.desire(elements)
    }

    /// The transaction that takes the guard away. The chains of `manage: sets` are the administrator's, so its
    /// table stays.
    public var opening: Transaction {
        let firewall = settings.firewall
        return switch firewall.management {
        case .guardPorts: Transaction(table: firewall.table, operations: [.deleteTable(name: firewall.table)])
        case .sets:
            Transaction(table: firewall.table, operations: writer.guarded.sorted().map(Operation.unguardPort))
        }
    }

    /// A TCP client connected.
    public mutating func connectionOpened(_ peer: Peer, at now: Instant, into actions: inout [Action]) {
        let victims = connections.opened(
            peer.channel, from: peer.address, isLocal: peer.isLocal, isListed: policy.lists(peer.address), at: now)
        crowdOut(victims, into: &actions)
        if !isKnown(peer) { noteStranger(over: .tcp, at: now, into: &actions) }
    }

    /// A connection could not be accepted: the process or the host has no descriptors left.
    public mutating func connectionsExhausted(into actions: inout [Action]) {
        crowdOut(connections.crowded(), into: &actions)
    }

    /// All TCP peers together leave more replies unread than they may.
    public mutating func repliesOverflowed(_ greediest: ConnectionID, into actions: inout [Action]) {
        crowdOut([greediest], into: &actions)
    }

    mutating func crowdOut(_ victims: [ConnectionID], into actions: inout [Action]) {
        counters.crowdedOut += victims.count
        for id in victims { actions.append(.closeConnection(id)) }
    }

    public mutating func connectionReceived(_ id: ConnectionID, isInsideRecord: Bool, at now: Instant) {
        connections.received(id, isInsideRecord: isInsideRecord, at: now)
    }

    public mutating func connectionClosed(_ id: ConnectionID) {
        connections.closed(id)
    }

    public var connectionCount: Int { connections.count }
    public var grantCount: Int { ledger.count }
    public var guardedServices: Set<ServicePort> { writer.guarded }

    /// The ledger's entry of a grant that the kernel lists.
    public func grant(_ key: GrantKey) -> Grant? { ledger[key] }

    /// One line of `registry`.
    public struct RegistryEntry: Hashable, Sendable {
        public var program: Program
        public var version: UInt32
        public var netID: String
        public var address: String
        public var owner: String
        /// `nil` if no packet filter sees the netid.
        public var service: ServicePort?
        public var isTrusted: Bool
        public var isAlive: Bool
        public var isGuarded: Bool
        public var isOrphaned = false
        public var isGuardable = true
        /// Other programs at its port, ascending: they are opened along with this one.
        public var sharesPortWith: [Program] = []
    }

    public var registryEntries: [RegistryEntry] {
        var entries = allEntries
        let programs = entries.reduce(into: [ServicePort: Set<Program>]()) { programs, entry in
            if let service = entry.service { programs[service, default: []].insert(entry.program) }
        }
        for index in entries.indices {
            let atPort = entries[index].service.flatMap { programs[$0] } ?? []
            entries[index].sharesPortWith = atPort.subtracting([entries[index].program]).sorted()
        }
        return entries
    }

    private var allEntries: [RegistryEntry] {
        (registry?.registrations ?? []).map { entry($0) } + orphanEntries
            + (registry?.unguardable ?? []).map { rpcb in
                RegistryEntry(
                    program: rpcb.program, version: rpcb.version, netID: rpcb.netID, address: rpcb.address,
                    owner: rpcb.owner, isTrusted: trustedOwners.contains(rpcb.owner), isAlive: false,
                    isGuarded: false, isGuardable: false)
            }
    }

    private func entry(_ registration: Registration) -> RegistryEntry {
        let service = registration.service
        return RegistryEntry(
            program: registration.program, version: registration.version, netID: registration.netID.rawValue,
            address: registration.addressText, owner: registration.owner, service: service,
            isTrusted: isTrusted(registration),
            isAlive: registration.program == .portmapper
                ? isRpcbindUp == true : service.flatMap(services.isListening) ?? false,
            isGuarded: service.map(writer.guarded.contains) ?? false)
    }

    /// The services that lost their mappings, as they were registered last; if that isn't known, one line a
    /// program.
    private var orphanEntries: [RegistryEntry] {
        services.orphans.filter(\.value.isConfirmed).sorted { $0.key < $1.key }.flatMap { service, orphan in
            var entries = orphan.registrations.map { entry($0) }
            if entries.isEmpty {
                let netID = NetID(service.transport, isIPv4: true)
                let address = UniversalAddress(host: .v4(0), port: service.port).description
                entries = orphan.programs.sorted().map {
                    RegistryEntry(
                        program: $0, version: 0, netID: netID.rawValue, address: address, owner: "", service: service,
                        isTrusted: true, isAlive: true, isGuarded: writer.guarded.contains(service))
                }
            }
            for index in entries.indices { entries[index].isOrphaned = true }
            return entries
        }
    }
}
