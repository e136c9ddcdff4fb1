import Addresses
import Clock

/// Counts strangers, and tells when there are too many of them for user space.
struct StrangerShield: Sendable {
    private struct Second {
        var start = Instant.zero
        var count = 0
    }

    private var seconds: [Transport: Second] = [:]
    /// The transports over which the kernel drops strangers, each with its end.
    private(set) var ends: [Transport: Instant] = [:]
    /// The kernel has yet to be told that the last shield has ended.
    private var isRaised = false
    /// The kernel's counter of dropped packets at its last reading.
    private var counted: UInt64 = 0
    /// Of all packets: those that had been dropped at the last reading, those that the kernel has reported, and those
    /// that were summed up because it hasn't.
    private var dropped = 0
    private var told = 0
    private var untold = 0

    /// Afterwards strangers are let through again, to see whether there are still as many.
    static let duration: Duration = .seconds(30)

    /// Whether the kernel drops strangers, or did a moment ago, so that its counter may have changed.
    func isUp(at now: Instant) -> Bool { ends.values.contains { $0 + .seconds(2) > now } }

    /// Counts one more stranger.
    /// - Returns: until when the kernel has to drop strangers, if it has to begin now.
    mutating func add(_ transport: Transport, limit: Int, at now: Instant) -> Instant? {
        var second = seconds[transport] ?? Second(start: now)
        if now - second.start >= .seconds(1) { second = Second(start: now) }
        second.count += 1
        seconds[transport] = second
        guard second.count > limit, (ends[transport] ?? .zero) <= now else { return nil }
        ends[transport] = now + Self.duration
        isRaised = true
        return now + Self.duration
    }

    /// Whether the last shield has ended; true only once.
    mutating func takeEnd(at now: Instant) -> Bool {
        guard isRaised, ends.values.allSatisfy({ $0 <= now }) else { return false }
        isRaised = false
        return true
    }

    /// The table was made anew, and its counter with it.
    mutating func tableMade() { counted = 0 }

    mutating func noteTold() { told += 1 }

    /// The kernel's counter was read; it begins anew with the table.
    ///
    /// A packet is counted before it is reported: only at the next reading its report is sure to have been read.
    /// - Returns: how many packets were dropped since the last time, and how many until then were not reported.
    mutating func dropped(total: UInt64) -> (all: Int, untold: Int) {
        let all = Int(clamping: total >= counted ? total - counted : total)
        counted = total
        let untoldNow = max(0, dropped - told - untold)
        untold += untoldNow
        dropped += all
        return (all, untoldNow)
    }
}
