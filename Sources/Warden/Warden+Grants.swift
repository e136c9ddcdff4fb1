import Firewall
import ONCRPC
import Policy
import Portmapper

extension Warden {
    /// Makes sure that what is to be opened listens, right now.
    mutating func inspect(_ id: Exchange.ID, at now: Instant, into actions: inout [Action]) {
        guard let exchange = exchanges[id] else { return }
        let unknown = exchange.services.filter { service in
            services.listeners[service.port] == nil || service.open == .onLookup && !isFresh(service, exchange, at: now)
        }
        guard !unknown.isEmpty else { return open(id, at: now, into: &actions) }
        exchangesInspecting.append(id)
        actions.append(.inspectListeners(Set(unknown.map(\.port))))
    }

    /// The grant is there, for this program, and the kernel keeps it for half of `keep` at least.
    private func isFresh(_ service: Exchange.Service, _ exchange: Exchange, at now: Instant) -> Bool {
        let key = GrantKey(client: exchange.peer.address, service: service.port)
        guard writer.isTableMade, let grant = ledger[key], grant.programs.contains(service.program) else {
            return false
        }
        return now - grant.writtenAt < settings.firewall.keep / 2
    }

    /// Issues the grants that the reply needs, and waits for the kernel.
    mutating func open(_ id: Exchange.ID, at now: Instant, into actions: inout [Action]) {
        guard let exchange = exchanges[id] else { return }
        for service in exchange.services where !services.isAlive(service.port, ipv4: exchange.peer.address.isIPv4) {
            return deny(
                id, .notListening, answer: exchange.result, detail: "nothing listens at \(service.port)", at: now,
                into: &actions)
        }
        let wanted = exchange.services.filter { $0.open == .onLookup && !isFresh($0, exchange, at: now) }
        guard hasRoom(for: wanted, client: exchange.peer.address) else {
            return deny(
                id, .grantsFull, answer: exchange.result, detail: "limits.grants or limits.grants-per-client", at: now,
                into: &actions)
        }
        for service in wanted { issue(service, to: exchange.peer.address, for: id, at: now) }
        let waitsForElements = exchange.services.contains { $0.open != .never } && writer.joins(id)
        let outstanding = wanted.count + (waitsForElements ? 1 : 0)
        exchanges[id]?.outstanding = outstanding
        if outstanding == 0, let result = exchange.result { complete(id, result, at: now, into: &actions) }
    }

    /// A new grant must fit within the limits; what is there may always be renewed.
    private func hasRoom(for wanted: [Exchange.Service], client: IPAddress) -> Bool {
        let new = wanted.count { ledger[GrantKey(client: client, service: $0.port)] == nil }
        guard new > 0 else { return true }
        return ledger.count(of: client) + new <= settings.limits.grantsPerClient
            && ledger.count + writer.grantsUnderWay + new <= settings.limits.grants
    }

    private mutating func issue(
        _ service: Exchange.Service, to client: IPAddress, for id: Exchange.ID, at now: Instant
    ) {
        let key = GrantKey(client: client, service: service.port)
        let note = GrantNote(
            program: service.program, issued: ledger[key]?.issued ?? wallClock(at: now), rule: service.rule ?? "")
        writer.issue(
            key,
            TableWriter.Issue(
                note: note, timeout: settings.firewall.keep, isRenewal: ledger[key] != nil, followers: [id]))
    }

    /// One acknowledgement fewer to wait for; the last one lets the reply go.
    private mutating func acknowledged(_ id: Exchange.ID, at now: Instant, into actions: inout [Action]) {
        guard let exchange = exchanges[id], let result = exchange.result else { return }
        exchanges[id]?.outstanding -= 1
        guard exchange.outstanding == 1 else { return }
        complete(id, result, at: now, into: &actions)
    }

    /// The kernel acknowledged the transaction in flight, or refused it.
    public mutating func committed(_ failure: CommitFailure?, at now: Instant, into actions: inout [Action]) {
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
        for (followers, failure) in outcome.refused {
            // A full set says ENFILE; ENOSPC is what other tables of the kernel say.
            let reason: DenialReason = [23, 28].contains(failure.errno) ? .grantsFull : .firewallFailed
            for id in followers {
                deny(id, reason, answer: exchanges[id]?.result, detail: failure.message, at: now, into: &actions)
            }
        }
    }

    private mutating func done(_ outcome: TableWriter.Outcome, at now: Instant, into actions: inout [Action]) {
        for (key, issue) in outcome.issued {
            var grant = Grant(
                programs: ledger[key]?.programs ?? [], rule: issue.note.rule, issued: issue.note.issued,
                expiresNotBefore: now + issue.timeout, writtenAt: now)
            grant.programs.insert(issue.note.program)
            ledger.record(key, grant)
            if issue.isRenewal { counters.renewed += 1 } else { counters.granted += 1 }
            audit(event(issue.isRenewal ? .renewed : .granted, key, grant, issue.note.program), at: now, into: &actions)
        }
        for key in outcome.revoked {
            guard let grant = ledger.remove(key) else { continue }
            counters.revoked += 1
            actions.append(.cutFlows(AddressRange(key.client, key.client), key.service))
            var event = event(.revoked, key, grant, grant.programs.min())
            event.detail = revocationCauses.removeValue(forKey: key)
            audit(event, at: now, into: &actions)
        }
        for key in outcome.unstood where services.guarded.contains(key.service) {
            actions.append(.cutFlows(key.clients, key.service))
        }
        for id in outcome.issued.flatMap(\.issue.followers) + outcome.settled {
            acknowledged(id, at: now, into: &actions)
        }
    }

    func event(_ kind: AuditEvent.Kind, _ key: GrantKey, _ grant: Grant, _ program: Program?) -> AuditEvent {
        var event = AuditEvent(kind)
        event.client = key.client
        event.transport = key.service.transport
        event.program = program
        event.programName = program.flatMap(names.name)
        event.rule = grant.rule
        event.granted = key.service
        return event
    }

    /// What the kernel holds of the grants that may have expired; those that it doesn't hold have.
    public mutating func grantsInspected(
        _ keys: [GrantKey], _ found: [GrantKey: Duration], at now: Instant, into actions: inout [Action]
    ) {
        for key in keys {
            if let left = found[key] {
                ledger.prolong(key, notBefore: now + max(left, .milliseconds(1)))
            } else if let grant = ledger.remove(key) {
                counters.expired += 1
                audit(event(.expired, key, grant, grant.programs.min()), at: now, into: &actions)
            }
        }
    }

    /// Revokes every grant whose mapping is gone, or that policy no longer permits.
    mutating func revokeBaseless(at now: Instant) {
        for (key, grant) in ledger.grants {
            let programs = services.programs[key.service] ?? []
            let isPermitted = grant.programs.intersection(programs).contains { program in
                guard case .permitted(_, let open) = policy.lookup(program, over: key.service.transport, by: key.client)
                else { return false }
                return open != .never
            }
            if !isPermitted || settings.firewall.never.contains(key.service.port) {
                let isRegistered = !grant.programs.isDisjoint(with: programs)
                revocationCauses[key] = isRegistered ? "no longer permitted" : "no longer registered"
                writer.revoke(key)
            }
        }
    }
}
