import Addresses
import AuditTrail
import Calls
import Clock
import Exchanges
import Firewall
import Gate
import Policy
import Portmapper
import Upstream

extension Warden {
    mutating func registryAnswered(
        _ listing: Listing, _ askers: [Exchanges.Asker], since: Instant?, at now: Instant,
        into actions: inout [Action]
    ) {
        // Listings for clients must not delay the snapshot.
        if let since, askers.contains(.refresh) { upstream.spare(after: now - since, at: now) }
        if let event = upstream.reached() { audit(event, at: now, into: &actions) }
        registryRead(listing, for: askers, at: now, into: &actions)
    }

    mutating func registryFailed(
        _ failure: RpcbindFailure, _ askers: [Exchanges.Asker], since: Instant?, at now: Instant,
        into actions: inout [Action]
    ) {
        if let since, askers.contains(.refresh) { upstream.spare(after: now - since, at: now) }
        let (questions, event) = upstream.failed(failure, programs: Set(rules.policy.rules.flatMap(\.to)))
        for mapping in questions { ask(.port(mapping), for: .survey, at: now, into: &actions) }
        if let event { audit(event, at: now, into: &actions) }
        for case .exchange(let id) in askers { deny(id, .rpcbindDown, at: now, into: &actions) }
        // The listeners are inspected even so: a port stays guarded for as long as its socket listens.
        if upstream.registry != nil, askers.contains(.refresh) { upstream.lookAtAll() }
    }

    /// A question that stands in for the registry was answered.
    mutating func surveyed(
        _ mapping: Mapping, _ answer: Result<RpcbindAnswer, RpcbindFailure>, at now: Instant,
        into actions: inout [Action]
    ) {
        let port: UInt32? = if case .success(.port(let port)) = answer { port } else { nil }
        guard let listing = upstream.surveyed(mapping, at: port) else { return }
        registryRead(listing, for: [.refresh], at: now, into: &actions)
    }

    /// rpcbind listed its registrations, for these askers.
    private mutating func registryRead(
        _ listing: Listing, for askers: [Exchanges.Asker], at now: Instant, into actions: inout [Action]
    ) {
        let changes = upstream.read(listing, at: now)
        for event in changes ?? [] { audit(event, at: now, into: &actions) }
        var readers: [Exchange.ID] = []
        for case .exchange(let id) in askers {
            // A list opens nothing, so the listeners needn't be known.
            if case .dump(let version)? = exchanges.request(of: id)?.call {
                list(id, version, at: now, into: &actions)
            } else {
                readers.append(id)
            }
        }
        if changes != nil || askers.contains(.refresh) || !readers.isEmpty { upstream.lookAtAll(for: readers) }
    }

    /// Brings guard, standing elements and grants in line with registry, listeners and policy.
    mutating func settleServices(at now: Instant, into actions: inout [Action]) {
        guard let (events, replaced) = upstream.settle(never: rules.settings.firewall.never) else { return }
        guardMark += 1
        for event in events { audit(event, at: now, into: &actions) }
        for (service, kept) in replaced {
            for clients in clientsLosing(service, keeping: kept) { actions.append(.cutFlows(clients, service)) }
        }
        gate.desire(desiredElements())
        for (key, grant) in gate.grants { revokeIfBaseless(key, grant) }
    }

    /// The clients that lose their flows to the port, as it belongs to other programs now: all except the ones
    /// that a kept program admits.
    private func clientsLosing(_ service: ServicePort, keeping kept: Set<Program>) -> [AddressRange] {
        let all = [AddressRange.allIPv4, .allIPv6]
        guard !kept.isEmpty else { return all }
        let standing = kept.flatMap { rules.policy.standing($0, over: service.transport) }
        return all.subtracting(standing + gate.clients(at: service, of: kept).map { AddressRange($0, $0) })
    }

    /// The guard and the standing elements that registry, listeners and policy ask for. Until the registry is
    /// known, the standing elements of an earlier run stay.
    func desiredElements() -> Gate.Elements {
        let firewall = rules.settings.firewall
        var elements = Gate.Elements(guarded: upstream.services.guarded.filter { !rules.spares($0) })
        for range in firewall.guardPorts {
            for port in range.ports where !firewall.never.contains(port) {
                elements.guarded.insert(ServicePort(range.transport, port))
            }
        }
        guard upstream.registry != nil else {
            elements.standing = gate.standing.union(passingShield)
            return elements
        }
        elements.standing.formUnion(passingShield)
        for service in upstream.services.guarded {
            for clients in standingClients(of: service) {
                elements.standing.insert(StandingKey(clients: clients, service: service))
            }
        }
        return elements
    }

    /// The clients that the kernel lets through to the portmapper while it drops strangers.
    private var passingShield: [StandingKey] {
        watch.shields.keys.flatMap { transport in
            rules.policy.named.map {
                StandingKey(clients: $0, service: ServicePort(transport, Gate.portmapperPort))
            }
        }
    }

    /// Disjoint ranges: the kernel's interval sets take no overlaps.
    private func standingClients(of service: ServicePort) -> [AddressRange] {
        let programs = upstream.services.programs(at: service)
        let ranges = programs.flatMap { rules.policy.standing($0, over: service.transport) }
        let kept = gate.unjudgedStanding(at: service).filter { clients in
            programs.contains { rules.pending.mayStand(clients, $0, over: service.transport) }
        }
        return programs.count == 1 && kept.isEmpty ? ranges : (ranges + kept).union
    }

    /// Revokes a grant that has lost its mapping, or that policy no longer permits.
    private mutating func revokeIfBaseless(_ key: GrantKey, _ grant: Grant) {
        // Adopted grants are judged once the registry is known.
        guard upstream.registry != nil else { return }
        let registered = upstream.services.programs(at: key.service)
        let isPermitted = grant.programs.contains { registered.contains($0) && mayHold($0, key) }
        guard !isPermitted || rules.spares(key.service) else { return }
        let isRegistered = grant.programs.contains(where: registered.contains)
        gate.revoke(key, isRegistered ? .notPermitted : .notRegistered)
    }

    /// Whether policy lets the client have the program's port open, or an earlier run opened it by a host name
    /// that isn't resolved yet.
    func mayHold(_ program: Program, _ key: GrantKey) -> Bool {
        rules.opens(program, key)
            || gate.isUnjudged(key) && rules.pending.mayPermit(program, over: key.service.transport, by: key.client)
    }

    // MARK: Grants

    mutating func noteIssued(_ issued: Gate.Issued, at now: Instant, into actions: inout [Action]) {
        let (key, isRenewal) = (issued.key, issued.isRenewal)
        if isRenewal { journal.counters.renewed += 1 } else { journal.counters.granted += 1 }
        let kind: AuditEvent.Kind = isRenewal ? .renewed : .granted
        if admits(kind, of: key.client, over: key.service.transport, at: now) {
            var event = AuditEvent(kind, key, issued.grant.rule, issued.program)
            if issued.isRevival { event.detail = "revived" }
            actions.append(.audit(event.named(by: journal.names)))
        }
        // Registry or policy may have changed since the grant was decided.
        revokeIfBaseless(key, issued.grant)
    }

    mutating func noteRevoked(_ revoked: Gate.Revoked, at now: Instant, into actions: inout [Action]) {
        let key = revoked.key
        // The flows of a grant that has expired meanwhile are cut, too: they may live on.
        actions.append(.cutFlows(of: key))
        guard let grant = revoked.grant else { return }
        journal.counters.revoked += 1
        var event = AuditEvent(.revoked, key, grant.rule, grant.programs.least)
        event.detail = revoked.cause
        audit(event, at: now, into: &actions)
    }

    /// Ends the remains of an expired grant: its memory, and the flows that outlived it.
    mutating func forgetAndCut(_ key: GrantKey, into actions: inout [Action]) {
        gate.forget(key)
        actions.append(.cutFlows(of: key))
    }

    /// A guarded port dropped a packet; the kernel reports a sample of such packets.
    public mutating func packetDropped(_ packet: DroppedPacket, at now: Instant, into actions: inout [Action]) {
        if packet.kind == .stranger { return strangerDropped(packet, at: now, into: &actions) }
        let key = GrantKey(client: packet.client, service: packet.service)
        let permitted = gate.rememberedPrograms(key).flatMap { permittedProgram(of: $0, key) }
        if gate.revives(key, as: permitted, at: now) { return }
        var event = AuditEvent(.probed, detail: "\(packet.service)")
        event.client = packet.client
        event.port = packet.clientPort
        event.transport = packet.service.transport
        event.program = upstream.services.programs(at: packet.service).min()
        event.isEnforced = rules.settings.mode == .enforce
        audit(event, at: now, into: &actions)
    }

    /// One of these programs that a trusted owner has registered at the port, and that the client may still look
    /// up.
    private func permittedProgram(of programs: Programs, _ key: GrantKey) -> (program: Program, rule: String)? {
        guard upstream.services.isAlive(key.service, ipv4: key.client.isIPv4), !rules.spares(key.service) else {
            return nil
        }
        let registered = upstream.services.programs(at: key.service)
        for program in programs.all where registered.contains(program) {
            guard let opening = rules.opening(program, at: key.service, for: key.client), opening.open == .onLookup
            else { continue }
            return (program, opening.rule ?? "")
        }
        return nil
    }

    /// Another process changed nftables. Changes to our table are undone: it is made anew, with every live grant.
    public mutating func tableChanged(_ changes: [TableChange], at now: Instant, into actions: inout [Action]) {
        guard let event = gate.tableChanged(changes, at: now) else { return }
        audit(event, at: now, into: &actions)
        flush(at: now, into: &actions)
    }
}

extension AuditEvent {
    /// An event about a grant.
    init(_ kind: Kind, _ key: GrantKey, _ rule: String, _ program: Program) {
        self.init(kind)
        client = key.client
        transport = key.service.transport
        self.program = program
        self.rule = rule
        granted = key.service
    }
}
