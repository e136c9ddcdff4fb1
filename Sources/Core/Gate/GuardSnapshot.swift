import Addresses
import Clock
import Configuration
import Firewall

/// The state of the guard at one moment, made cheaply; ``saved(at:)`` turns it into a ``SavedGuard``.
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
        // A boot ends the grants: they are saved as memories, as if they had expired. The daemon learns late
        // whether grants over UDP were used; these leave room to the others.
        for (key, grant) in ledger.all
        where !key.service.server.isCallback
            && (!grant.isUnproven || saved.remembered.count < settings.limits.grantsOverUDP)
        {
            saved.remembered[key] = SavedGuard.Memory(
                note: GrantNote(grant),
                programs: grant.programs, until: wallClock + revive)
        }
        return saved
    }
}
