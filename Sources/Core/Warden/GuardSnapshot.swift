import Addresses
import Clock
import Configuration
import Firewall

/// What the Warden knows of the guard at one moment, cheaply; it is turned into a ``SavedGuard`` elsewhere.
public struct GuardSnapshot: Sendable {
    let settings: Settings
    let programs: [ServicePort: Set<Program>]
    let sockets: [ServicePort: Set<UInt64>]
    let ledger: GrantLedger
    let memory: GrantMemory
    let now: Instant
    let wallClock: Timestamp

    /// Takes some time with many grants.
    public func saved(at place: SavedGuard.Place?) -> SavedGuard {
        var saved = SavedGuard(place: place, settings: settings)
        saved.programs = programs
        saved.sockets = sockets
        let revive = settings.firewall.revive
        guard revive > .zero else { return saved }
        for (key, entry) in memory.entries where entry.until > now {
            saved.remembered[key] = SavedGuard.Memory(
                note: entry.note, programs: entry.programs, until: wallClock + (entry.until - now))
        }
        // A boot ends them: from then on they are remembered as if they had expired.
        // Whether those over UDP were used is learnt late; they leave room to the others.
        for (key, grant) in ledger.all
        where !grant.isUnproven || saved.remembered.count < settings.limits.grantsOverUDP {
            saved.remembered[key] = SavedGuard.Memory(
                note: GrantNote(program: grant.programs.least, issued: grant.issued, rule: grant.rule),
                programs: grant.programs, until: wallClock + revive)
        }
        return saved
    }
}

extension Warden {
    /// What to save of the guard; `nil` as long as the registry isn't known, for then what is saved knows more.
    public func guardToSave(at now: Instant) -> GuardSnapshot? {
        guard registry != nil else { return nil }
        let guarded = services.guarded
        return GuardSnapshot(
            settings: settings,
            programs: Dictionary(uniqueKeysWithValues: guarded.map { ($0, services.lastPrograms(at: $0)) }),
            sockets: services.guardedSockets.filter { !$0.value.isEmpty }, ledger: ledger, memory: memory, now: now,
            wallClock: wallClock(at: now))
    }
}
