import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import Exchanges
import Firewall
import FleetRecords
import Gate
import Policy
import Sharing
import Upstream
import Watch

extension Warden {
    // MARK: Start

    /// The kernel's table as an earlier run left it; its grants are adopted, and checked once rpcbind has answered.
    ///
    /// - Parameter saved: the guarded ports as that run knew them, with sockets of this boot only.
    public mutating func tableFound(_ contents: TableContents, saved: SavedGuard? = nil, at now: Instant) {
        adopt(guarded(in: contents, saved), at: now)
        gate.adopt(contents, at: now)
        let policies = rules.policies
        watch.adopt(contents.quarantined, isListed: { policies.lists($0) }, at: now)
        if !policies.isComplete { gate.adjourn() }
        desireElements()
        // A server may be down for long, and policy may have changed since the earlier run.
        judgeAdopted(at: Set(servers.indices.dropFirst()))
        shareAdopted(at: now)
    }

    private mutating func adopt(_ guarded: [ServicePort: ServiceTable.Adopted], at now: Instant) {
        for number in servers.indices {
            let own = guarded.filter { servers.number(of: $0.key.server) == number }
            servers[number].upstream.adopt(own, at: now)
        }
    }

    private func guarded(in contents: TableContents, _ saved: SavedGuard?) -> [ServicePort: ServiceTable.Adopted] {
        var adopted: [ServicePort: ServiceTable.Adopted] = [:]
        // A port that the settings guard, or guarded when that run ended, is no service for that reason.
        let settled = rules.settings.firewall.guardPorts + (saved?.firewall.guardPorts ?? [])
        for service in contents.guarded
        where saved?.programs[service] != nil || service.server != .thisHost
            || !settled.contains(where: { $0.covers(service) })
        {
            adopted[service] = ServiceTable.Adopted(of: service, saved)
        }
        for element in contents.granted {
            guard adopted[element.key.service] != nil, let note = GrantNote(element.comment) else { continue }
            adopted[element.key.service]?.programs.insert(note.program)
        }
        return adopted
    }

    /// There is no table yet: the ports that were guarded last stay guarded until the registry is known, and the
    /// memories are kept. The saved guard opens nothing: the listeners have not been inspected yet.
    public mutating func tableMissing(saved: SavedGuard? = nil, at now: Instant) {
        if let saved {
            let ports = saved.programs.keys.map { ($0, ServiceTable.Adopted(of: $0, saved)) }
            adopt(Dictionary(uniqueKeysWithValues: ports), at: now)
            gate.adopt(saved, at: now, wallClock: journal.wallClock(at: now))
            if !rules.policies.isComplete { gate.adjourn() }
        }
        desireElements()
    }

    // MARK: Time

    /// The wall clock was read; it may have been set since the last reading.
    public mutating func wallClockRead(_ time: Timestamp, at now: Instant) {
        let step = journal.wallClockRead(time, at: now)
        guard NodeClocks.isSet(by: step) else { return }
        if step < .zero { gate.clockSetBack(by: .zero - step, to: time) }
        sharing.clockSet(by: step, at: now, time)
    }

    /// Time passes: refreshes the registry if that is due, looks after grants, sums up the events that the log
    /// suppressed.
    public mutating func timeAdvanced(to now: Instant, into actions: inout [Action]) {
        for number in servers.indices
        where servers[number].upstream.takesRefresh(at: now, every: servers[number].refresh) {
            ask(.registry, of: number, for: .refresh, at: now, into: &actions)
        }
        for id in watch.connections.expired(at: now) {
            watch.connections.closed(id)
            actions.append(.closeConnection(id))
        }
        crowdOut(watch.connections.surplus(at: now), into: &actions)
        let due = gate.timeAdvanced(to: now)
        if !due.isEmpty { actions.append(.inspectGrants(due)) }
        advanceSharing(to: now, into: &actions)
        let policies = rules.policies
        follow(watch.timeAdvanced(to: now, isListed: { policies.lists($0) }), at: now, into: &actions)
        if watch.takeShieldEnd(at: now) { gate.unshield() }
        for event in journal.summary(at: now) { actions.append(.audit(event)) }
        flush(at: now, into: &actions)
    }

    /// The last event: sums up the events that the log suppressed.
    public mutating func stopping(at now: Instant, into actions: inout [Action]) {
        for event in journal.lastSummary(at: now) { actions.append(.audit(event)) }
    }

    /// Counts an event that the daemon logs by itself, without the Warden.
    public mutating func admitsEvent(_ kind: AuditEvent.Kind, at now: Instant) -> Bool {
        journal.admits(kind, of: nil, isListed: false, over: nil, at: now)
    }

    // MARK: Connections

    /// A TCP client connected.
    public mutating func connectionOpened(_ peer: Peer, at now: Instant, into actions: inout [Action]) {
        let victims = watch.connections.opened(
            peer.channel, from: peer.address, isLocal: peer.isLocal, isListed: isKnown(peer), at: now)
        crowdOut(victims, into: &actions)
        if !isKnown(peer) { shieldIfNeeded(over: .tcp, at: now, into: &actions) }
    }

    /// A connection could not be accepted: the process or the host has no descriptors left.
    public mutating func connectionsExhausted(into actions: inout [Action]) {
        crowdOut(watch.connections.crowded(), into: &actions)
    }

    /// All TCP peers together leave more replies unread than they may.
    public mutating func repliesOverflowed(_ greediest: ConnectionID, into actions: inout [Action]) {
        crowdOut([greediest], into: &actions)
    }

    private mutating func crowdOut(_ victims: [ConnectionID], into actions: inout [Action]) {
        journal.counters.crowdedOut += victims.count
        for id in victims { actions.append(.closeConnection(id)) }
    }

    public mutating func connectionReceived(_ id: ConnectionID, isInsideRecord: Bool, at now: Instant) {
        watch.connections.received(id, isInsideRecord: isInsideRecord, at: now)
    }

    public mutating func connectionClosed(_ id: ConnectionID) { watch.connections.closed(id) }

    // MARK: Reload

    /// Policy, or the settings that may change at run time, were read anew; host names may have new addresses.
    ///
    /// Grants and elements that the new policy doesn't permit are revoked with the next transaction; the rest
    /// lives on untouched.
    public mutating func policyReplaced(
        _ policies: PolicySet, settings: Settings, at now: Instant, into actions: inout [Action]
    ) {
        servers.policyReplaced(settings, policies)
        watch.settingsReplaced(settings)
        gate.settingsReplaced(settings)
        sharing.settingsReplaced(settings)
        if policies.isComplete { gate.judgeAll() }
        settleServices(of: servers.indices, at: now, into: &actions)
        judgeAdopted(at: Set(servers.indices.filter { servers[$0].upstream.registry == nil }))
        gate.revokeExcess()
        for (key, programs) in gate.remembered where !programs.contains(where: { mayHold($0, key) }) {
            forgetAndCut(key, into: &actions)
        }
        follow(watch.releaseExempt(isListed: { policies.lists($0) }), at: now, into: &actions)
        decideAnew(at: now, into: &actions)
        flush(at: now, into: &actions)
    }

    /// Without a registry, the elements of an earlier run stay as far as policy permits them; ports to guard may
    /// be new.
    private mutating func judgeAdopted(at unread: Set<ServerNumber>) {
        guard !unread.isEmpty else { return }
        gate.keepStanding(
            gate.standing.flatMap { unread.contains(servers.number(of: $0.service.server)) ? permitted($0) : [$0] })
        desireElements()
        for (key, grant) in gate.grants
        where unread.contains(servers.number(of: key.service.server))
            && !grant.programs.contains(where: { mayHold($0, key) })
        {
            gate.revoke(key, .notPermitted)
        }
    }

    /// The part of the element that policy permits; all of it if its programs aren't known.
    private func permitted(_ element: StandingKey) -> [StandingKey] {
        let server = servers.number(of: element.service.server)
        let (rules, transport) = (servers.rules(about: server), element.service.transport)
        let programs = servers[server].upstream.services.lastPrograms(at: element.service)
        let mayStand = programs.contains { rules.pending.mayStand(element.clients, $0, over: transport) }
        guard !mayStand, server == 0 || !programs.isEmpty || !rules.pending.isEmpty else {
            // What opened a server's port isn't known: its clients must at least be named.
            return part(of: element, within: rules.policy.clients(over: transport))
        }
        guard !programs.isEmpty, !mayStand else { return [element] }
        return part(of: element, within: programs.flatMap { rules.policy.standing($0, over: transport) }.union)
    }

    private func part(of element: StandingKey, within standing: [AddressRange]) -> [StandingKey] {
        let denied = [element.clients].subtracting(standing)
        return [element.clients].subtracting(denied).map { StandingKey(clients: $0, service: element.service) }
    }

    /// Calls under way are answered by the policy that is in force at the answer.
    private mutating func decideAnew(at now: Instant, into actions: inout [Action]) {
        for (id, exchange) in exchanges.all {
            let (call, peer) = (exchange.request.call, exchange.request.peer)
            let rules = servers.rules(about: exchange.request.server)
            switch decide(call, from: peer, exchange.request.asked) {
            case .success(let permission): permit(id, exchange, permission)
            case .failure(let reason):
                guard let lifted = rules.lifted(reason, of: call, from: peer) else {
                    deny(id, reason, at: now, into: &actions)
                    continue
                }
                permit(id, exchange, lifted)
            }
        }
    }

    private mutating func permit(_ id: Exchange.ID, _ exchange: Exchange, _ permission: Permission) {
        let client = exchange.request.peer.address
        let rules = servers.rules(about: exchange.request.server)
        let isCallback = exchange.request.asked.isCallback
        let services = exchange.services.map { service in
            if isCallback {
                return ServiceOpening(
                    program: service.program, port: service.port, rule: permission.rule, open: permission.open)
            }
            return rules.newOpening(service.program, at: service.port, for: client)
                ?? ServiceOpening(program: service.program, port: service.port, rule: nil, open: .never)
        }
        exchanges.change(id) {
            $0.request = $0.request.with(permission)
            $0.services = services
        }
    }

    // MARK: The operator

    /// An operator lifts a quarantine.
    ///
    /// - Parameter order: when an order of the fleet was given, if this is one. A quarantine that began later stays.
    /// - Returns: whether there was one.
    public mutating func release(
        client: IPAddress, order: Timestamp? = nil, at now: Instant, into actions: inout [Action]
    ) -> Bool {
        let time = order.map { order in
            let age = journal.wallClock(at: now).milliseconds - order.milliseconds
            return now - .milliseconds(age) + NodeClocks.differenceMax
        }
        let consequences = watch.release(client, asOf: time, isListed: rules.lists(client), at: now)
        follow(consequences, at: now, into: &actions)
        flush(at: now, into: &actions)
        return !consequences.isEmpty
    }

    /// An operator ends a client's grants and flows; a `nil` port or transport stands for any, and no server for all
    /// of them.
    ///
    /// - Parameter order: when an order of the fleet was given, if this is one. What was issued since then stays, as far as
    ///   the nodes' clocks tell: a node may hear of the order late.
    public mutating func revoke(
        client: IPAddress, port: UInt16?, transport: Transport?, of server: ServerNumber? = nil,
        order: Timestamp? = nil, at now: Instant, into actions: inout [Action]
    ) -> Revocation {
        let ids = servers.ids(of: server)
        func matches(_ service: ServicePort) -> Bool {
            (port == nil || service.port == port) && (transport == nil || service.transport == transport)
                && ids.contains(service.server.caller)
        }
        var revocation = Revocation()
        let wallClock = journal.wallClock(at: now)
        func isMeant(_ key: GrantKey, _ issued: Timestamp?) -> Bool {
            guard key.client == client, matches(key.service) else { return false }
            guard let order, let issued else { return true }
            return NodeClocks.isBeaten(issued: issued, byEndAt: order, at: wallClock)
        }
        revocation.grants = gate.grants.filter { isMeant($0.key, $0.grant.issued) }.map(\.key).sorted()
        let remembered = gate.remembered.filter { isMeant($0.key, gate.issuedOfRemembered($0.key)) }
        shareRevocation(
            of: client, transport: transport, at: server, revocation.grants, remembered: remembered,
            isOfAll: port == nil, order: order, at: now, into: &actions
        ) {
            $0.client == client && matches($0.service)
        }
        // What another node hasn't told yet is meant, too.
        let isWhole = port == nil && transport == nil && server == nil && sharing.isOn
        if order != nil || isWhole { orderFollowed(client, at: order ?? wallClock, at: now) }
        for key in revocation.grants { gate.revoke(key, order == nil ? .byOperator : .byOrder) }
        // Grants that the client once held must not come back either.
        for (key, _) in remembered { forgetAndCut(key, into: &actions) }
        let standing = gate.standing.filter { $0.clients.contains(client) && matches($0.service) }
        for service in Set(standing.map(\.service)).sorted() {
            actions.append(.cutFlows(AddressRange(client, client), service))
            let asked = servers.number(of: service.server)
            for program in servers[asked].upstream.services.programs(at: service).sorted() {
                guard let opening = servers.rules(about: asked).opening(program, at: service, for: client),
                    opening.open == .always
                else { continue }
                revocation.admissions.append(
                    Revocation.Admission(program: program, service: service, rule: opening.rule ?? ""))
            }
        }
        flush(at: now, into: &actions)
        return revocation
    }
}

/// The result of an operator's `revoke`, and the limits of it.
public struct Revocation: Hashable, Sendable {
    /// Grants that will be revoked, and their flows cut.
    public var grants: [GrantKey] = []
    /// Rules with `open: always` that still let the client in; its flows there were cut.
    public var admissions: [Admission] = []

    public init() {}

    public struct Admission: Hashable, Sendable {
        public var program: Program
        public var service: ServicePort
        /// The label of the rule.
        public var rule: String
    }
}

extension ServiceTable.Adopted {
    /// The port as an earlier run saved it.
    fileprivate init(of service: ServicePort, _ saved: SavedGuard?) {
        let programs = saved?.programs[service]
        // Sockets of servers aren't seen.
        let isKnown = programs != nil && service.server == .thisHost
        self.init(programs: programs ?? [], sockets: isKnown ? saved?.sockets[service] ?? [] : nil)
    }
}
