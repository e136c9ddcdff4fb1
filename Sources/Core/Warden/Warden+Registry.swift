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
        _ listing: Listing, by server: ServerNumber, _ askers: Askers<Exchanges.Asker>, since: Instant?,
        at now: Instant,
        into actions: inout [Action]
    ) {
        // Listings and looks for clients must not delay the snapshot.
        if let since, askers.contains(.refresh) { servers[server].upstream.spare(after: now - since, at: now) }
        if let event = servers[server].upstream.reached(at: now) { audit(event, of: server, at: now, into: &actions) }
        registryRead(listing, by: server, for: askers, at: now, into: &actions)
    }

    mutating func registryFailed(
        _ failure: RpcbindFailure, of server: ServerNumber, _ askers: Askers<Exchanges.Asker>, since: Instant?,
        at now: Instant, into actions: inout [Action]
    ) {
        if let since, askers.contains(.refresh) { servers[server].upstream.spare(after: now - since, at: now) }
        let programs = Set(servers.rules(about: server).policy.rules.flatMap(\.to))
        let (questions, event) = servers[server].upstream.failed(failure, programs: programs, at: now)
        for mapping in questions { ask(.port(mapping), of: server, for: .survey, at: now, into: &actions) }
        if let event { audit(event, of: server, at: now, into: &actions) }
        for case .exchange(let id) in askers { deny(id, .rpcbindDown, at: now, into: &actions) }
        // The listeners are inspected even so: a port stays guarded for as long as its socket listens.
        if servers[server].upstream.registry != nil, askers.contains(.refresh) {
            servers[server].upstream.lookAtAll(forSnapshot: true)
        }
    }

    /// A question that stands in for the registry was answered.
    mutating func surveyed(
        _ mapping: Mapping, _ answer: Result<RpcbindAnswer, RpcbindFailure>, of server: ServerNumber,
        at now: Instant, into actions: inout [Action]
    ) {
        let port: UInt32? = if case .success(.port(let port)) = answer { port } else { nil }
        guard let listing = servers[server].upstream.surveyed(mapping, at: port) else { return }
        registryRead(listing, by: server, for: [.refresh], at: now, into: &actions)
    }

    /// rpcbind listed its registrations, for these askers.
    private mutating func registryRead(
        _ listing: Listing, by server: ServerNumber, for askers: Askers<Exchanges.Asker>, at now: Instant,
        into actions: inout [Action]
    ) {
        let changes = servers[server].upstream.read(listing, at: now)
        for event in changes ?? [] { audit(event, of: server, at: now, into: &actions) }
        var readers: [Exchange.ID] = []
        for case .exchange(let id) in askers {
            // A list opens nothing, so the listeners needn't be known.
            if case .dump(let version)? = exchanges.request(of: id)?.call {
                list(id, version, at: now, into: &actions)
            } else {
                readers.append(id)
            }
        }
        guard server == 0 else {
            // A server's ports are guarded before they are called, and a call may take long.
            settleServices(of: server, at: now, into: &actions)
            if askers.contains(.refresh) {
                servers[server].upstream.lookAtAll(forSnapshot: true)
                lookForWaiting(at: server)
            }
            for id in readers { serverRead(by: id, at: now, into: &actions) }
            return
        }
        let isSnapshot = askers.contains(.refresh)
        if changes != nil || isSnapshot || !readers.isEmpty {
            servers[server].upstream.lookAtAll(for: readers, forSnapshot: isSnapshot)
        }
    }

    /// A server's registry was read for this call. GETADDRLIST tells only what answers, so its services are called
    /// first.
    private mutating func serverRead(by id: Exchange.ID, at now: Instant, into actions: inout [Action]) {
        guard let request = exchanges.request(of: id), case .getAddressList(let rpcb) = request.call,
            request.permission.liftedDenial == nil
        else { return registryArrived(id, at: now, into: &actions) }
        let listed = servers[request.server].upstream.registrations(
            of: rpcb, over: request.peer.netID, isLocal: false, at: request.asked)
        let openings = listed.map {
            ServiceOpening(program: $0.0.program, port: $0.1, rule: nil, open: .never)
        }
        servers[request.server].upstream.look(at: openings, forReader: id)
    }

    /// Brings guard, standing elements and grants in line with the server's registry, its listeners and policy.
    mutating func settleServices(of server: ServerNumber, at now: Instant, into actions: inout [Action]) {
        settleServices(of: server..<server + 1, at: now, into: &actions)
    }

    /// The same for several servers: their elements and grants are gone through once.
    mutating func settleServices(of range: Range<ServerNumber>, at now: Instant, into actions: inout [Action]) {
        let never = rules.settings.firewall.never
        var settled: Set<ServerNumber> = []
        for server in range {
            guard let (events, replaced) = servers[server].upstream.settle(never: never) else { continue }
            settled.insert(server)
            for event in events { audit(event, of: server, at: now, into: &actions) }
            for port in replaced {
                for clients in clientsLosing(port) { actions.append(.cutFlows(clients, port.service)) }
            }
        }
        guard !settled.isEmpty else { return }
        guardMark += 1
        if range.count == 1, let server = range.first, server != 0, !hasShieldElements {
            desireElements(of: server)
        } else {
            desireElements()
        }
        let ids = settled.reduce(into: Set<ServerID>()) { $0.formUnion(servers.ids(of: $1)) }
        for (key, grant) in gate.grants(at: ids.union(ids.filter { $0 != .thisHost }.map(\.callback))) {
            revokeIfBaseless(key, grant)
        }
        for server in settled { openWaiting(at: server, at: now) }
    }

    /// A change at one server leaves the elements of the others as they are.
    private mutating func desireElements(of server: ServerNumber) {
        let elements = elements(of: server)
        let former = elementsOfServer.updateValue(elements, forKey: server)
        gate.desire(elements, inPlaceOf: former ?? Gate.Elements())
    }

    /// Asks for the elements of this host and of all servers.
    mutating func desireElements() {
        elementsOfServer = servers.indices.dropFirst().reduce(into: [:]) { $0[$1] = elements(of: $1) }
        hasShieldElements = !passingShield.isEmpty
        gate.desire(desiredElements(elementsOfServer))
    }

    /// The clients that lose their flows to the port, as it belongs to other programs now: all except the ones
    /// that a kept program admits.
    private func clientsLosing(_ port: Upstream.Replaced) -> [AddressRange] {
        let all = [port.ipv4 ? AddressRange.allIPv4 : .allIPv6]
        guard !port.kept.isEmpty else { return all }
        let service = port.service
        let policy = servers.rules(about: servers.number(of: service.server)).policy
        let standing = port.kept.flatMap { policy.standing($0, over: service.transport) }
        return all.subtracting(standing + gate.clients(at: service, of: port.kept).map { AddressRange($0, $0) })
    }

    /// The guard and the standing elements that registries, listeners and policy ask for. Until a server's registry
    /// is known, its standing elements of an earlier run stay.
    ///
    /// - Parameter known: the elements of servers, where they are known.
    func desiredElements(_ known: [ServerNumber: Gate.Elements] = [:]) -> Gate.Elements {
        let firewall = rules.settings.firewall
        var elements = Gate.Elements(standing: Set(passingShield))
        for range in firewall.guardPorts {
            for port in range.ports where !firewall.never.contains(port) {
                elements.guarded.insert(ServicePort(range.transport, port))
            }
        }
        for number in servers.indices {
            let own = known[number] ?? self.elements(of: number)
            elements.guarded.formUnion(own.guarded)
            elements.standing.formUnion(own.standing)
        }
        elements.callers = servers.calledBack
        return elements
    }

    private func elements(of number: ServerNumber) -> Gate.Elements {
        var elements = Gate.Elements()
        add(number, to: &elements)
        return elements
    }

    private func add(_ number: ServerNumber, to elements: inout Gate.Elements) {
        let guarded = servers[number].upstream.services.guarded
        elements.guarded.formUnion(guarded.filter { !rules.spares($0) })
        // This host's sockets are looked at before its services are opened.
        let isUnread = servers[number].upstream.registry == nil
        if isUnread, number == 0 {
            return elements.standing.formUnion(gate.standing.filter { $0.service.server == .thisHost })
        }
        let kept = isUnread ? gate.standing : []
        for service in guarded {
            // A server's last registry opens by policy, until the server tells another.
            if isUnread, servers[number].upstream.services.programs(at: service).isEmpty {
                elements.standing.formUnion(kept.filter { $0.service == service })
                continue
            }
            for clients in standingClients(of: service)
            where servers[number].upstream.isReached(service, by: clients) {
                elements.standing.insert(StandingKey(clients: clients, service: service))
            }
        }
    }

    /// The clients that the kernel lets through to the portmapper while it drops strangers.
    private var passingShield: [StandingKey] {
        watch.shields.keys.flatMap { transport in
            rules.policies.named.map {
                StandingKey(clients: $0, service: ServicePort(transport, Gate.portmapperPort))
            }
        }
    }

    /// Disjoint ranges: the kernel's interval sets take no overlaps.
    private func standingClients(of service: ServicePort) -> [AddressRange] {
        let server = servers.number(of: service.server)
        let (rules, programs) = (servers.rules(about: server), servers[server].upstream.services.programs(at: service))
        let ranges = programs.flatMap { rules.policy.standing($0, over: service.transport) }
        let kept = gate.unjudgedStanding(at: service).filter { clients in
            programs.contains { rules.pending.mayStand(clients, $0, over: service.transport) }
        }
        return programs.count == 1 && kept.isEmpty ? ranges : (ranges + kept).union
    }

    /// Revokes a grant that has lost its mapping, or that policy no longer permits.
    mutating func revokeIfBaseless(_ key: GrantKey, _ grant: Grant) {
        guard !key.service.server.isCallback else {
            guard !mayCallBack(key) || rules.spares(key.service) else { return }
            return gate.revoke(key, .notPermitted)
        }
        // Adopted grants are judged once the registry is known.
        guard let registered = servers.programs(at: key.service, ipv4: key.client.isIPv4) else { return }
        let isPermitted = grant.programs.contains { registered.contains($0) && mayHold($0, key) }
        guard !isPermitted || rules.spares(key.service) else { return }
        let isRegistered = grant.programs.contains(where: registered.contains)
        gate.revoke(key, isRegistered ? .notPermitted : .notRegistered)
    }

    /// Whether policy lets the client have the program's port open, or an earlier run opened it by a host name
    /// that isn't resolved yet.
    mutating func mayHold(_ program: Program, _ key: GrantKey) -> Bool {
        guard !key.service.server.isCallback else { return mayCallBack(key) }
        let rules = servers.rules(about: servers.number(of: key.service.server))
        return rules.opens(program, key)
            || gate.isUnjudged(key) && rules.pending.mayPermit(program, over: key.service.transport, by: key.client)
    }

    // MARK: Grants

    mutating func noteIssued(_ issued: Gate.Issued, at now: Instant, into actions: inout [Action]) {
        let (key, isRenewal) = (issued.key, issued.isRenewal)
        if isRenewal { journal.counters.renewed += 1 } else { journal.counters.granted += 1 }
        let kind: AuditEvent.Kind = isRenewal ? .renewed : .granted
        if admits(kind, of: key.client, over: key.service.transport, at: now) {
            var event = event(kind, key, issued.grant.rule, issued.program)
            if issued.isRevival { event.detail = "revived" }
            if key.service.server.isCallback, let name = event.server {
                event.detail = "a port of the client, for \(name)"
            }
            actions.append(.audit(event.named(by: journal.names)))
        }
        shareIssued(issued, at: now, into: &actions)
        // Registry or policy may have changed since the grant was decided.
        revokeIfBaseless(key, issued.grant)
    }

    mutating func noteRevoked(_ revoked: Gate.Revoked, at now: Instant, into actions: inout [Action]) {
        let key = revoked.key
        // The flows of a grant that has expired meanwhile are cut, too: they may live on.
        if revoked.cause != .ofOwnClients { actions.append(.cutFlows(of: key)) }
        guard let grant = revoked.grant else { return }
        journal.counters.revoked += 1
        var event = event(.revoked, key, grant.rule, grant.programs.least)
        event.detail = revoked.why
        audit(event, at: now, into: &actions)
        shareRevoked(revoked, at: now, into: &actions)
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
        let server = servers.number(of: packet.service.server)
        event.program = servers[server].upstream.services.programs(at: packet.service).min()
        event.server = servers.name(server)
        event.isEnforced = rules.settings.mode == .enforce
        audit(event, at: now, into: &actions)
    }

    /// One of these programs that a trusted owner has registered at the port, and that the client may still look
    /// up.
    private func permittedProgram(of programs: Programs, _ key: GrantKey) -> (program: Program, rule: String)? {
        let server = servers.number(of: key.service.server)
        let (rules, services) = (servers.rules(about: server), servers[server].upstream.services)
        guard services.isAlive(key.service, ipv4: key.client.isIPv4) || server != 0, !rules.spares(key.service)
        else { return nil }
        let registered = services.programs(at: key.service, ipv4: key.client.isIPv4)
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

extension Warden {
    /// An event about a grant.
    func event(_ kind: AuditEvent.Kind, _ key: GrantKey, _ rule: String, _ program: Program) -> AuditEvent {
        var event = AuditEvent(kind)
        event.client = key.client
        event.transport = key.service.transport
        event.program = program
        event.rule = rule
        event.server = servers.name(of: key.service.server)
        event.granted = key.service
        return event
    }
}
