import Addresses
import Clock
import Firewall
import Policy

extension Gate {
    /// Takes over the kernel's table as an earlier run left it. Its grants are judged once rpcbind has answered.
    public mutating func adopt(_ contents: TableContents, at now: Instant) {
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
                    isUnproven: note.origin == nil && lives.isUnproven(element), isCopy: note.origin != nil))
        }
        if contents.grantsMayBeKept, ledger.count == contents.granted.count { writer.keepGrants() }
        for element in contents.remembered {
            guard var note = GrantNote(element.comment) else { continue }
            note.rule = labels.insert(note.rule).memberAfterInsert
            let entry = GrantMemory.Entry(
                note: note, programs: Programs(note.program), until: now + element.expiresIn)
            _ = memory.remember(element.key, entry, limit: settings.limits.grants)
        }
        keepStanding(
            contents.standing.filter {
                !never.contains($0.service.port) && $0.service.port != Self.portmapperPort
            })
        revokeExcess()
    }

    /// Takes over the memories of an earlier boot.
    public mutating func adopt(_ saved: SavedGuard, at now: Instant, wallClock: Timestamp) {
        for (key, memory, left) in saved.memories(for: settings, at: wallClock) {
            let entry = GrantMemory.Entry(note: memory.note, programs: memory.programs, until: now + left)
            _ = self.memory.remember(key, entry, limit: settings.limits.grants)
        }
    }

    /// The standing elements of an earlier run that stay until the registry is known.
    public mutating func keepStanding(_ standing: some Sequence<StandingKey>) {
        writer.keepStanding(Set(standing))
    }

    /// Rules have host names that are not resolved yet: all that was adopted is judged once they are.
    public mutating func adjourn() {
        unjudged = Unjudged(grants: Set(ledger.keys).union(memory.entries.keys), standing: standing)
    }

    /// All host names are resolved.
    public mutating func judgeAll() { unjudged = Unjudged() }

    /// Whether an earlier run opened the port to the client, by a rule that isn't judged yet.
    public func isUnjudged(_ key: GrantKey) -> Bool { unjudged.grants.contains(key) }

    /// The clients that an earlier run always let in to the service, by rules that aren't judged yet.
    public func unjudgedStanding(at service: ServicePort) -> [AddressRange] { unjudged.standing[service] ?? [] }

    /// The guard to save.
    /// - Parameter programs: the guarded ports, with the programs that are registered there.
    /// - Parameter sockets: the cookies of the sockets that listen at these ports.
    public func snapshot(
        programs: [ServicePort: Set<Program>], sockets: [ServicePort: Set<UInt64>], at now: Instant,
        wallClock: Timestamp
    ) -> GuardSnapshot {
        GuardSnapshot(
            settings: settings, programs: programs, sockets: sockets, ledger: ledger, memory: memory, now: now,
            wallClock: wallClock)
    }
}
