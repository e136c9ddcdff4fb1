import Firewall
import Policy
import Portmapper

extension Warden {
    /// The kernel's table as an earlier run left it; its grants are adopted, and checked once rpcbind has answered.
    public mutating func tableFound(_ contents: TableContents, at now: Instant) {
        services.adopt(guarded: contents.guarded)
        let never = settings.firewall.never
        // Few rules made all of them.
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
        if contents.grantsMayStay, ledger.count == contents.granted.count { writer.leaveGrants() }
        for element in contents.remembered {
            guard var note = GrantNote(element.comment) else { continue }
            note.rule = labels.insert(note.rule).memberAfterInsert
            let entry = GrantMemory.Entry(
                note: note, programs: Programs(note.program), until: now + element.expiresIn)
            _ = memory.remember(element.key, entry, limit: settings.limits.grants)
        }
        for (client, left) in contents.quarantined where !isSpared(client) {
            _ = quarantines.add(client, until: now + left)
        }
        var elements = elements()
        elements.standing = contents.standing.filter {
            !never.contains($0.service.port) && $0.service.port != Self.portmapperPort
        }
        writer.desire(elements)
        revokeExcess()
    }

    /// There is no table yet.
    public mutating func tableMissing(at now: Instant) {
        writer.desire(elements())
    }

    /// What takes the guard away. The chains of `manage: sets` are the administrator's, so its table stays.
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
            peer.channel, from: peer.address, isLocal: peer.isLocal, isNamed: policy.names(peer.address), at: now)
        crowdOut(victims, into: &actions)
        if !isKnown(peer) { noteStranger(over: .tcp, at: now, into: &actions) }
    }

    /// A connection could not be accepted: the process or the host has no descriptors left.
    public mutating func connectionsExhausted(into actions: inout [Action]) {
        crowdOut(connections.crowded(), into: &actions)
    }

    private mutating func crowdOut(_ victims: [ConnectionTable.ID], into actions: inout [Action]) {
        counters.crowdedOut += victims.count
        for id in victims { actions.append(.closeConnection(id)) }
    }

    public mutating func connectionReceived(_ id: ConnectionTable.ID, isInsideRecord: Bool, at now: Instant) {
        connections.received(id, isInsideRecord: isInsideRecord, at: now)
    }

    public mutating func connectionClosed(_ id: ConnectionTable.ID) {
        connections.closed(id)
    }

    public var connectionCount: Int { connections.count }
    public var grantCount: Int { ledger.count }
    public var guardedServices: Set<ServicePort> { writer.guarded }

    /// What the ledger knows of a grant that the kernel lists.
    public func grant(_ key: GrantKey) -> Grant? { ledger[key] }

    /// One line of `registry`.
    public struct RegistryEntry: Hashable, Sendable {
        public var registration: Registration
        public var isTrusted: Bool
        public var isAlive: Bool
        public var isGuarded: Bool
    }

    public var registryEntries: [RegistryEntry] {
        (registry?.registrations ?? []).map { registration in
            let service = registration.service
            return RegistryEntry(
                registration: registration, isTrusted: trustedOwners.contains(registration.owner),
                isAlive: registration.program == .portmapper
                    ? isRpcbindUp == true : service.flatMap { services.listeners[$0]?.isListening } ?? false,
                isGuarded: service.map(writer.guarded.contains) ?? false)
        }
    }
}
