import Addresses
import AuditTrail
import Clock
import Firewall
import Policy

extension Warden {
    /// Remembers a grant that expired or lost its service, so that its client's next packet revives it.
    mutating func remember(_ key: GrantKey, _ grant: Grant, at now: Instant) {
        guard settings.firewall.revive > .zero else { return }
        // The daemon learns late whether a grant was used. Forged calls must not take the places of grants that
        // were held.
        if grant.isUnproven, memory.count >= settings.limits.grantsOverUDP { return }
        let entry = GrantMemory.Entry(
            note: GrantNote(program: grant.programs.least, issued: grant.issued, rule: grant.rule),
            programs: grant.programs,
            until: now + settings.firewall.revive)
        for forgotten in memory.remember(key, entry, limit: settings.limits.grants) { writer.forget(forgotten) }
        if memory[key] != nil { writer.remember(key, entry) }
        savingMark += 1
    }

    /// Forgets the grant, whatever ended it: its client's packets don't revive it.
    mutating func forget(_ key: GrantKey) {
        guard memory.forget(key) else { return }
        writer.forget(key)
        savingMark += 1
    }

    /// Ends the remains of an expired grant: its memory, and the flows that outlived it.
    mutating func forgetAndCut(_ key: GrantKey, into actions: inout [Action]) {
        forget(key)
        unjudged.grants.remove(key)
        actions.append(.cutFlows(AddressRange(key.client, key.client), key.service))
    }

    /// Ends the memories and flows that a new policy doesn't permit and that have no grant.
    mutating func forgetUnpermitted(into actions: inout [Action]) {
        for (key, entry) in memory.entries {
            let isPermitted = entry.programs.contains { opens($0, key) || mayOpen($0, key) }
            if !isPermitted { forgetAndCut(key, into: &actions) }
        }
    }

    /// A guarded port dropped a packet; the kernel reports a sample of such packets.
    public mutating func packetDropped(_ packet: DroppedPacket, at now: Instant, into actions: inout [Action]) {
        if packet.kind == .stranger { return strangerDropped(packet, at: now, into: &actions) }
        let key = GrantKey(client: packet.client, service: packet.service)
        if revives(key, at: now) { return }
        var event = AuditEvent(.probed)
        event.client = packet.client
        event.port = packet.clientPort
        event.transport = packet.service.transport
        event.program = services.programs(at: packet.service).min()
        event.programName = event.program.flatMap(names.name)
        event.detail = "\(packet.service)"
        event.isEnforced = settings.mode == .enforce
        audit(event, at: now, into: &actions)
    }

    /// Issues the grant again if its client held it, and policy, owner and listener agree.
    private mutating func revives(_ key: GrantKey, at now: Instant) -> Bool {
        // The kernel lets a grant expire a moment before the daemon learns of it.
        if let grant = ledger[key], grant.expiresNotBefore <= now, !writer.isUnderWay(key) {
            // Or long before, if the daemon was stopped.
            guard settings.firewall.revive > .zero else { return false }
            issueAgain(key, grant.programs, grant.rule, grant.issued)
            return true
        }
        if ledger[key] != nil || writer.isUnderWay(key) { return true }
        guard let entry = memory[key], let (program, rule) = permittedProgram(of: entry.programs, key),
            services.isAlive(key.service, ipv4: key.client.isIPv4),
            !settings.firewall.never.contains(key.service.port),
            hasRoom(for: [key.service], client: key.client, over: .tcp)
        else { return false }
        issueAgain(key, Programs(program), rule, entry.note.issued)
        return true
    }

    private mutating func issueAgain(_ key: GrantKey, _ programs: Programs, _ rule: String, _ issued: Timestamp) {
        guard !writer.isUnderWay(key) else { return }
        writer.issue(
            key,
            TableWriter.Issue(
                note: GrantNote(program: programs.least, issued: issued, rule: rule), programs: programs,
                timeout: settings.firewall.keep, isRevival: true))
    }

    /// One of these programs that a trusted owner has registered at the port, and that the client may still look
    /// up.
    private func permittedProgram(of programs: Programs, _ key: GrantKey) -> (Program, rule: String)? {
        let registered = services.programs(at: key.service)
        for program in programs.all where registered.contains(program) {
            guard
                case .permitted(let rule, let open) = policy.lookup(
                    program, over: key.service.transport, by: key.client), open == .onLookup
            else { continue }
            return (program, policy.rules[rule].label)
        }
        return nil
    }
}
