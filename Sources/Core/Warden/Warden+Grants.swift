import Addresses
import AuditTrail
import Calls
import Clock
import Firewall
import ONCRPC
import Policy
import Portmapper

extension Warden {
    /// Inspects the listeners of the services that are to open, unless an earlier look suffices.
    mutating func inspect(_ id: Exchange.ID, at now: Instant, into actions: inout [Action]) {
        guard let exchange = exchanges[id] else { return }
        let (client, transport) = (exchange.request.peer.address, exchange.request.peer.transport)
        var isLookNeeded = false
        // The service may have come alive since the last look.
        for service in exchange.services where !needsNoLook(service, client, over: transport, at: now) {
            nextInspection.services.insert(service.port)
            isLookNeeded = true
        }
        guard isLookNeeded else { return open(id, at: now, into: &actions) }
        nextInspection.openers.append(id)
        nextInspection.isDue = true
    }

    /// Starts the look that is due. Exchanges that one event makes look share it.
    mutating func startInspection(into actions: inout [Action]) {
        guard nextInspection.isDue else { return }
        actions.append(.inspectListeners(nextInspection.services))
        inspections.append(nextInspection)
        nextInspection = Inspection()
    }

    /// Whether the grant exists for this program, and the kernel keeps it for long enough: a client that asks
    /// over TCP and never asks again has at least half of `keep`.
    @inline(__always)
    private func isFresh(
        _ service: Exchange.Service, _ client: IPAddress, over transport: Transport, at now: Instant
    ) -> Bool {
        let key = GrantKey(client: client, service: service.port)
        guard writer.isTableMade, let expiry = ledger.expiry(of: key, for: service.program), !writer.isRevoking(key)
        else { return false }
        return lives.suffices(expiry.nanoseconds - now.nanoseconds, over: transport)
            && !(transport == .tcp && lives.isUnprovenHidden && ledger.isUnproven(key))
    }

    // Mutating, though it changes nothing: docs/HACKING.md, "Rules of the house".
    /// Whether the service listens, its port is open to the client, and no change waits for the kernel.
    mutating func isOpen(
        _ service: Exchange.Service, for client: IPAddress, over transport: Transport, at now: Instant
    ) -> Bool {
        // `isUnaffectedByPending` is asked last: it takes a copy of the Warden.
        needsNoLook(service, client, over: transport, at: now)
            && (service.open == .never || writer.isSettled || isUnaffectedByPending(service, for: client))
    }

    /// Whether no change that waits for the kernel concerns the service and the client.
    private func isUnaffectedByPending(_ service: Exchange.Service, for client: IPAddress) -> Bool {
        if writer.isSettled { return true }
        guard service.open == .always else { return writer.isUnaffectedByPending(service.port, standing: nil) }
        guard
            let range = policy.standing(service.program, over: service.port.transport)
                .range(holding: client)
        else { return false }
        return writer.isUnaffectedByPending(service.port, standing: StandingKey(clients: range, service: service.port))
    }

    private func needsGrant(_ service: Exchange.Service, _ peer: Peer, at now: Instant) -> Bool {
        service.open == .onLookup && !isFresh(service, peer.address, over: peer.transport, at: now)
    }

    /// Whether the service listened at the last look, and the grant that it takes exists.
    @inline(__always)
    private func needsNoLook(
        _ service: Exchange.Service, _ client: IPAddress, over transport: Transport, at now: Instant
    ) -> Bool {
        services.isAlive(service.port, ipv4: client.isIPv4)
            && (service.open != .onLookup || isFresh(service, client, over: transport, at: now))
    }

    /// Issues the grants that the reply needs, and waits for the kernel.
    ///
    /// - Parameter hasLooked: whether the kernel has told the remaining lives of the grants.
    mutating func open(_ id: Exchange.ID, hasLooked: Bool = false, at now: Instant, into actions: inout [Action]) {
        guard let exchange = exchanges[id] else { return }
        let peer = exchange.request.peer
        let client = peer.address
        for service in exchange.services where !services.isAlive(service.port, ipv4: client.isIPv4) {
            return denyDead(id, service.port, answer: exchange.result, at: now, into: &actions)
        }
        let needAll = exchange.services.allSatisfy { needsGrant($0, peer, at: now) }
        let wanted = needAll ? exchange.services : exchange.services.filter { needsGrant($0, peer, at: now) }
        if !hasLooked, looks(at: wanted, for: id, peer, into: &actions) { return }
        guard hasRoom(for: wanted.lazy.map(\.port), client: client, over: peer.transport) else {
            return deny(
                id, .grantsFull, answer: exchange.result, detail: "limits.grants or limits.grants-per-client", at: now,
                into: &actions)
        }
        for service in wanted { issue(service, to: peer, for: id, at: now) }
        let waitsForElements =
            exchange.services.contains { $0.open != .never && !isUnaffectedByPending($0, for: client) }
            && writer.awaitsElements(id)
        let outstanding = wanted.count + (waitsForElements ? 1 : 0)
        exchanges.change(id) { $0.outstanding = outstanding }
        if outstanding == 0, let result = exchange.result { complete(id, result, at: now, into: &actions) }
    }

    private mutating func denyDead(
        _ id: Exchange.ID, _ service: ServicePort, answer: PortmapperResult?, at now: Instant,
        into actions: inout [Action]
    ) {
        let foreign = services.foreignOwners(at: service).map(String.init).joined(separator: ", ")
        guard !foreign.isEmpty else {
            let detail = "nothing listens at \(service)"
            return deny(id, .notListening, answer: answer, detail: detail, at: now, into: &actions)
        }
        let detail = "\(service) is held by uid \(foreign), which rpcbind.owners doesn't trust"
        deny(id, .untrustedOwner, answer: answer, detail: detail, at: now, into: &actions)
    }

    /// A call over UDP gives a grant a short life, and the kernel may keep the grant for longer than the daemon
    /// knows: the kernel is asked first.
    ///
    /// - Returns: whether there is anything to ask.
    private mutating func looks(
        at wanted: [Exchange.Service], for id: Exchange.ID, _ peer: Peer, into actions: inout [Action]
    ) -> Bool {
        guard writer.isTableMade, lives.isDoubted(over: peer.transport) else { return false }
        let keys = wanted.map { GrantKey(client: peer.address, service: $0.port) }
            .filter { ledger[$0] != nil && !writer.isUnderWay($0) && !writer.isRevoking($0) }
        guard !keys.isEmpty else { return false }
        grantLooks.append((keys, id))
        actions.append(.inspectGrants(keys))
        return true
    }

    /// The kernel told the remaining lives of these grants: the exchanges that waited for that go on.
    private mutating func goOn(after keys: [GrantKey], at now: Instant, into actions: inout [Action]) {
        let openers = grantLooks.filter { $0.keys == keys }.map(\.opener)
        guard !openers.isEmpty else { return }
        grantLooks.removeAll { $0.keys == keys }
        for id in openers { open(id, hasLooked: true, at: now, into: &actions) }
    }

    /// Whether the new grants fit within the limits; an existing grant may always be renewed.
    func hasRoom(
        for wanted: some Collection<ServicePort>, client: IPAddress, over transport: Transport
    ) -> Bool {
        // Several programs may share a port.
        let new = wanted.count > 1 ? Set(wanted).count { isNew($0, client) } : wanted.count { isNew($0, client) }
        guard new > 0 else { return true }
        return ledger.count(of: client) + writer.grantsUnderWay(of: client) + new <= settings.limits.grantsPerClient
            && ledger.count + writer.grantsUnderWay + new
                <= (transport == .udp ? settings.limits.grantsOverUDP : settings.limits.grants)
    }

    private func isNew(_ service: ServicePort, _ client: IPAddress) -> Bool {
        let key = GrantKey(client: client, service: service)
        return ledger[key] == nil && !writer.isUnderWay(key)
    }

    private mutating func issue(
        _ service: Exchange.Service, to peer: Peer, for id: Exchange.ID, at now: Instant
    ) {
        let key = GrantKey(client: peer.address, service: service.port)
        let isUnproven = lives.isDoubted(over: peer.transport)
        let issued = ledger[key]?.issued
        var life = isUnproven ? GrantLives.unprovenMax : lives.keep
        // In a table that is made anew, a grant must not live shorter than in the old table.
        if isUnproven, let old = ledger[key], !writer.isRevoking(key) {
            life = min(max(life, old.expiresNotBefore - now), lives.keep)
        }
        let note = GrantNote(
            program: service.program, issued: issued ?? wallClock(at: now).wholeSeconds, rule: service.rule ?? "")
        writer.issue(
            key,
            TableWriter.Issue(
                note: note, programs: Programs(service.program),
                timeout: life, isNew: issued == nil, isUnproven: isUnproven),
            for: id)
    }

    /// Counts one acknowledgement; the last one lets the reply go.
    private mutating func acknowledged(_ id: Exchange.ID, at now: Instant, into actions: inout [Action]) {
        guard let exchange = exchanges[id], let result = exchange.result else { return }
        exchanges.change(id) { $0.outstanding -= 1 }
        guard exchange.outstanding == 1 else { return }
        complete(id, result, at: now, into: &actions)
    }

    /// The kernel acknowledged the transaction in flight, or refused it.
    public mutating func committed(_ failure: CommitFailure?, at now: Instant, into actions: inout [Action]) {
        if let since = writer.inFlightSince { counters.commitLatency.observe(now - since) }
        if let failure {
            counters.commitFailures += 1
            refused(writer.failed(failure, at: now), at: now, into: &actions)
        } else {
            counters.commits += 1
            done(writer.committed(), at: now, into: &actions)
        }
        flush(at: now, into: &actions)
    }

    private mutating func refused(_ outcome: TableWriter.Outcome, at now: Instant, into actions: inout [Action]) {
        for (waiters, failure) in outcome.refused {
            let reason: DenialReason = failure.kind == .full ? .grantsFull : .firewallFailed
            for id in waiters {
                deny(id, reason, answer: exchanges[id]?.result, detail: failure.message, at: now, into: &actions)
            }
        }
        for (key, failure) in outcome.lost { noteRevoked(key, failure.message, at: now, into: &actions) }
    }

    private mutating func noteRevoked(
        _ key: GrantKey, _ cause: String?, at now: Instant, into actions: inout [Action]
    ) {
        // The flows of a grant that has expired meanwhile are cut, too: they may live on.
        actions.append(.cutFlows(AddressRange(key.client, key.client), key.service))
        guard let grant = ledger.remove(key) else { return }
        counters.revoked += 1
        savingMark += 1
        // A service that comes back to its port finds its clients again.
        if cause == Self.noLongerRegistered {
            remember(key, grant, at: now)
        } else {
            forget(key)
            unjudged.grants.remove(key)
        }
        var event = event(.revoked, key, grant, grant.programs.least)
        event.detail = cause
        audit(event, at: now, into: &actions)
    }

    private mutating func done(_ outcome: TableWriter.Outcome, at now: Instant, into actions: inout [Action]) {
        for key in outcome.restored {
            ledger.begin(key, notBefore: now + lives.whole(isUnproven: ledger.isUnproven(key)))
        }
        if outcome.isTableMade {
            shield.tableMade()
            noteRestored(at: now, into: &actions)
        }
        // In the order of the transaction: a revoked grant may have been issued anew.
        for key in outcome.revoked {
            noteRevoked(key, revocationCauses.removeValue(forKey: key), at: now, into: &actions)
        }
        for (key, issue) in outcome.issued { noteIssued(key, issue, at: now, into: &actions) }
        for key in outcome.unstood where services.guarded.contains(key.service) {
            actions.append(.cutFlows(key.clients, key.service))
        }
        for waiter in outcome.waiters { acknowledged(waiter.id, at: now, into: &actions) }
    }

    private mutating func noteIssued(
        _ key: GrantKey, _ issue: TableWriter.Issue, at now: Instant, into actions: inout [Action]
    ) {
        let old = ledger[key]
        if old == nil { savingMark += 1 }
        var grant = Grant(
            programs: issue.programs, rule: issue.note.rule, issued: issue.note.issued,
            expiresNotBefore: now + issue.timeout)
        if let old { grant.programs.formUnion(old.programs) }
        // A client that has used the grant may be idle for long, and come back.
        grant.isUnproven = issue.isUnproven && old?.isUnproven != false
        ledger.record(key, grant)
        // A forged call must not cost a client the grant that its own packet would revive.
        if !grant.isUnproven { forget(key) }
        let isRenewal = old != nil || issue.isRevival
        if isRenewal { counters.renewed += 1 } else { counters.granted += 1 }
        let kind: AuditEvent.Kind = isRenewal ? .renewed : .granted
        if admitsEvent(kind, of: key.client, over: key.service.transport, at: now) {
            var event = event(kind, key, grant, issue.note.program)
            if issue.isRevival { event.detail = "revived" }
            actions.append(.audit(event))
        }
        // Registry or policy may have changed since the grant was decided.
        revokeIfBaseless(key, grant)
    }

    func event(_ kind: AuditEvent.Kind, _ key: GrantKey, _ grant: Grant, _ program: Program) -> AuditEvent {
        var event = AuditEvent(kind)
        event.client = key.client
        event.transport = key.service.transport
        event.program = program
        event.programName = names.name(of: program)
        event.rule = grant.rule
        event.granted = key.service
        return event
    }

    /// The remaining lives that the kernel reports for grants that may have expired; a grant without one has
    /// expired.
    public mutating func grantsInspected(
        _ keys: [GrantKey], _ found: [GrantKey: Duration], at now: Instant, into actions: inout [Action]
    ) {
        for key in keys {
            if let left = found[key] {
                ledger.prolong(key, notBefore: now + max(left, .milliseconds(1)))
            } else if let grant = ledger.remove(key) {
                counters.expired += 1
                var event = event(.expired, key, grant, grant.programs.least)
                // No client comes back to a grant that was never used, and forged calls must not fill the memory.
                if grant.isUnproven {
                    event.detail = "asked for over UDP, and never used"
                } else {
                    remember(key, grant, at: now)
                }
                audit(event, at: now, into: &actions)
            }
        }
        goOn(after: keys, at: now, into: &actions)
        flush(at: now, into: &actions)
    }

    /// Revokes every grant that has lost its mapping, or that policy no longer permits.
    mutating func revokeBaseless() {
        for (key, grant) in ledger.all { revokeIfBaseless(key, grant) }
    }

    private mutating func revokeIfBaseless(_ key: GrantKey, _ grant: Grant) {
        // Adopted grants are judged once the registry is known.
        guard registry != nil else { return }
        let registered = services.programs(at: key.service)
        let isPermitted = grant.programs.contains { program in
            registered.contains(program) && (opens(program, key) || mayOpen(program, key))
        }
        guard !isPermitted || settings.firewall.never.contains(key.service.port) else { return }
        let isRegistered = grant.programs.contains(where: registered.contains)
        revoke(key, isRegistered ? Self.noLongerPermitted : Self.noLongerRegistered)
    }

    /// Whether policy lets the client have the program's port opened.
    func opens(_ program: Program, _ key: GrantKey) -> Bool {
        guard case .permitted(_, let open) = policy.lookup(program, over: key.service.transport, by: key.client) else {
            return false
        }
        return open != .never
    }

    /// Whether an earlier run opened the port, perhaps to a client that policy names by a host name which isn't
    /// resolved yet.
    func mayOpen(_ program: Program, _ key: GrantKey) -> Bool {
        unjudged.grants.contains(key) && pending.mayPermit(program, over: key.service.transport, by: key.client)
    }

    static let noLongerPermitted = "no longer permitted"
    private static let noLongerRegistered = "no longer registered"

    mutating func revoke(_ key: GrantKey, _ cause: String) {
        revocationCauses[key] = cause
        writer.revoke(key)
    }

    /// Revokes the grants in excess of `limits.grants`, beginning with the ones that would expire first.
    mutating func revokeExcess() {
        let excess = ledger.count - settings.limits.grants
        guard excess > 0 else { return }
        let byAge = ledger.all.sorted {
            ($0.grant.expiresNotBefore, $0.key) < ($1.grant.expiresNotBefore, $1.key)
        }
        for (key, _) in byAge.prefix(excess) { revoke(key, "limits.grants") }
    }
}
