import Bundles
import Clock
import FleetRecords

/// Brings the policy of this node's group from the store to the disk: announced, read in pieces, verified, stored.
///
///     idle ─announced─▶ reading(piece) ─last piece─▶ storing ─stored─▶ idle
///       ▲──────────────lost, refused, retried─────────┴────────┘
///
/// What is announced meanwhile is read afterwards. A serial that isn't higher than that on the disk is never read.
public struct PolicyFetch: Sendable {
    public enum Action: Hashable, Sendable {
        case read(serial: UInt64, piece: UInt16)
        /// Verify the bytes, and replace the file.
        case store([UInt8], PolicyAnnouncement)
        /// The daemon is told.
        case tell(serial: UInt64)
    }

    private enum Phase: Sendable {
        case idle
        case reading(PolicyAnnouncement, [UInt8], piece: UInt16)
        case storing(PolicyAnnouncement)
    }

    private var phase = Phase.idle
    /// The newest announcement that isn't on the disk yet.
    private var wanted: PolicyAnnouncement?
    private var retryAt: Instant?
    private var isOlderTold = false
    /// Of the file on the disk; 0: there is none.
    public private(set) var serial: UInt64
    /// Why the wanted policy is not on the disk.
    public private(set) var refusal: String?

    public init(onDisk serial: UInt64) { self.serial = serial }

    public mutating func announced(_ announcement: PolicyAnnouncement, at now: Instant) -> Action? {
        guard announcement.serial >= serial else {
            // As of a store that was restored, or taken over.
            // Told once, however many such a store announces.
            if !isOlderTold { refusal = "serial \(announcement.serial) is older than \(serial), which is on the disk" }
            isOlderTold = true
            return nil
        }
        isOlderTold = false
        guard announcement.serial > serial else {
            if case .idle = phase, wanted == nil { refusal = nil }
            return nil
        }
        wanted = announcement
        guard let retryAt else { return next() }
        // After a refusal it waits a little: a store may announce any number.
        self.retryAt = min(retryAt, now + FleetLimits.nextPolicyDelay)
        return nil
    }

    /// - Parameter bytes: `nil`: there is no such piece, as when a publisher replaced the bundle meanwhile.
    public mutating func pieceRead(_ bytes: [UInt8]?, at now: Instant) -> Action? {
        guard case .reading(let announcement, var read, let piece) = phase else { return nil }
        guard let bytes, !bytes.isEmpty, read.count + bytes.count <= announcement.bytes else {
            refused("piece \(piece) of serial \(announcement.serial) is not as announced", at: now)
            return nil
        }
        read += bytes
        guard read.count < announcement.bytes else {
            phase = .storing(announcement)
            return .store(read, announcement)
        }
        guard Int(piece) + 1 < announcement.pieceCount else {
            refused("serial \(announcement.serial) has fewer bytes than announced", at: now)
            return nil
        }
        phase = .reading(announcement, read, piece: piece + 1)
        return .read(serial: announcement.serial, piece: piece + 1)
    }

    public mutating func stored(at now: Instant) -> [Action] {
        guard case .storing(let announcement) = phase else { return [] }
        phase = .idle
        serial = announcement.serial
        refusal = nil
        if let wanted, wanted.serial <= serial { self.wanted = nil }
        return [.tell(serial: serial)] + (next().map { [$0] } ?? [])
    }

    /// It can't be read, isn't signed by a known key, or couldn't be written.
    public mutating func refused(_ why: String, at now: Instant) {
        let tried: PolicyAnnouncement
        switch phase {
        case .idle: return
        case .reading(let announcement, _, _), .storing(let announcement): tried = announcement
        }
        phase = .idle
        refusal = why
        // What was announced meanwhile is another one.
        retryAt = now + (wanted == tried ? FleetLimits.retryInterval : FleetLimits.nextPolicyDelay)
    }

    /// The store is away: what was being read is announced again after the next connection.
    public mutating func storeLost() {
        if case .reading = phase { phase = .idle }
        wanted = nil
        retryAt = nil
    }

    public mutating func timeAdvanced(at now: Instant) -> Action? {
        guard let retryAt, retryAt <= now else { return nil }
        return next()
    }

    private mutating func next() -> Action? {
        guard case .idle = phase, let wanted else { return nil }
        retryAt = nil
        phase = .reading(wanted, [], piece: 0)
        return .read(serial: wanted.serial, piece: 0)
    }
}
