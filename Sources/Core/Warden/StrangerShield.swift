import Addresses
import Clock

/// Counts strangers, and says when there are too many of them for user space.
struct StrangerShield: Sendable {
    private struct Second {
        var start = Instant.zero
        var count = 0
    }

    private var seconds: [Transport: Second] = [:]
    /// Over which transports the kernel drops them, and until when.
    private(set) var ends: [Transport: Instant] = [:]
    /// The kernel has yet to be told that the last of them is over.
    private var isRaised = false
    /// Of the packets that the kernel dropped, those that were counted, and those that it told.
    private var counted: UInt64 = 0
    private var told = 0

    /// Then they are let through again, to see whether there are still as many.
    static let duration: Duration = .seconds(30)

    /// Whether the kernel drops them, or did a moment ago, so that its counter has something to tell.
    func isUp(at now: Instant) -> Bool { ends.values.contains { $0 + .seconds(2) > now } }

    /// The transports over which whom policy names must be let through first.
    var transports: Set<Transport> { Set(ends.keys) }

    /// One more stranger.
    /// - Returns: until when the kernel shall drop them, if it shall do so from now on.
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

    /// Whether the last of them is over, told once.
    mutating func takeEnd(at now: Instant) -> Bool {
        guard isRaised, ends.values.allSatisfy({ $0 <= now }) else { return false }
        isRaised = false
        return true
    }

    /// The table was made anew, and its counter with it.
    mutating func tableMade() { counted = 0 }

    mutating func noteTold() { told += 1 }

    /// The kernel's counter was read; it begins anew with the table.
    /// - Returns: how many packets were dropped since the last time, and of how many of them nothing was told.
    mutating func dropped(total: UInt64) -> (all: Int, untold: Int) {
        let all = Int(clamping: total >= counted ? total - counted : total)
        counted = total
        defer { told = 0 }
        return (all, max(0, all - told))
    }
}
