import Addresses
import Clock
import Firewall
import Policy

extension Gate {
    /// Remembers a grant that expired or lost its service, so that its client's next packet revives it.
    mutating func remember(_ key: GrantKey, _ grant: Grant, at now: Instant) {
        let revive = settings.firewall.revive
        // A server asks again before it calls back again, and no port of a client drops its packets.
        guard revive > .zero, !key.service.server.isCallback else { return }
        // The daemon learns late whether a grant was used. Forged calls must not take the places of grants that
        // were held.
        if grant.isUnproven, memory.count >= settings.limits.grantsOverUDP { return }
        let entry = GrantMemory.Entry(
            note: GrantNote(grant),
            programs: grant.programs, until: now + revive)
        for forgotten in memory.remember(key, entry, limit: settings.limits.grants) { writer.forget(forgotten) }
        if memory[key] != nil { writer.remember(key, entry) }
        savingMark += 1
    }

    /// The client's packets don't revive the grant.
    mutating func forgetMemory(of key: GrantKey) {
        guard memory.forget(key) else { return }
        writer.forget(key)
        savingMark += 1
    }

    /// The same; and the grant is judged like any other if it comes again.
    public mutating func forget(_ key: GrantKey) {
        forgetMemory(of: key)
        unjudged.grants.remove(key)
    }

    /// The wall clock was set back: what was issued here by the clock that was ahead is dated back. Copies have the times
    /// of other nodes.
    public mutating func clockSetBack(by step: Duration, to time: Timestamp) {
        let redated = { (issued: Timestamp) in
            issued > time ? max(min(issued + (.zero - step), time), Timestamp(milliseconds: 0)) : issued
        }
        ledger.date(by: redated)
        memory.date(by: redated)
        savingMark += 1
    }

    /// The remembered grants, in no order.
    public var remembered: some Sequence<(key: GrantKey, programs: Programs)> {
        memory.entries.lazy.map { ($0.key, $0.value.programs) }
    }

    /// When the remembered grant was issued.
    public func issuedOfRemembered(_ key: GrantKey) -> Timestamp? { memory[key]?.note.issued }

    /// The remembered copies of other nodes' grants.
    public var rememberedCopies: some Sequence<(key: GrantKey, programs: Programs)> {
        memory.entries.lazy.filter { $0.value.note.origin != nil }.map { ($0.key, $0.value.programs) }
    }

    /// The programs of the remembered grant; `nil` if there is none.
    public func rememberedPrograms(_ key: GrantKey) -> Programs? { memory[key]?.programs }

    /// A guarded port dropped the client's packet: issues the grant again if the client held it.
    ///
    /// - Parameter permitted: the program of ``rememberedPrograms(_:)`` that the client may use there now, and the
    ///   rule's label.
    /// - Returns: false if the packet is a probe.
    public mutating func revives(_ key: GrantKey, as permitted: (program: Program, rule: String)?, at now: Instant)
        -> Bool
    {
        if writer.isUnderWay(key) { return true }
        if let grant = ledger[key] {
            // The kernel lets a grant expire a moment before the daemon learns of it, or long before, if the daemon
            // was stopped.
            guard grant.expiresNotBefore <= now else { return true }
            guard settings.firewall.revive > .zero else { return false }
            issueAgain(key, grant.programs, grant.rule, grant.issued, isCopy: grant.isCopy)
            return true
        }
        guard let entry = memory[key], let (program, rule) = permitted,
            hasRoom(for: [key.service], client: key.client, over: .tcp)
        else { return false }
        issueAgain(key, Programs(program), rule, entry.note.issued)
        return true
    }

    private mutating func issueAgain(
        _ key: GrantKey, _ programs: Programs, _ rule: String, _ issued: Timestamp, isCopy: Bool = false
    ) {
        writer.issue(
            key,
            TableWriter.Issue(
                note: GrantNote(program: programs.least, issued: issued, rule: rule), programs: programs,
                timeout: settings.firewall.keep, isRevival: true, isCopy: isCopy))
    }
}
