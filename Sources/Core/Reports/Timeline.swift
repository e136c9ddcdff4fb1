import Addresses
import AuditTrail
import Clock

/// What happened in each hour; where there are too many, in each day, and then in twice as many, and so on.
struct Timeline {
    struct Hour: Hashable {
        /// By the place of the reason in ``DenialReason/allCases``; the last place is for denials without one.
        var denials = [Int32](repeating: 0, count: DenialReason.allCases.count + 1)
        var permitted = 0
        var probes = 0
        /// The grants that were issued, less those that ended.
        var grantsChange = 0
    }

    /// The names of the places in ``Hour/denials``.
    static let reasonNames = DenialReason.allCases.map(\.rawValue) + ["unknown"]

    static let hoursMax = 10_000
    static let milliseconds: Int64 = 3_600_000

    /// By the number of hours since 1970, at which each step begins.
    private(set) var hours: [Int64: Hour] = [:]
    /// The hours in a step.
    private(set) var width: Int64 = 1

    mutating func note(at time: Timestamp, _ change: (inout Hour) -> Void) {
        let hour = time.milliseconds / Self.milliseconds
        if hours[start(of: hour)] == nil { while hours.count >= Self.hoursMax { widen() } }
        change(&hours[start(of: hour), default: Hour()])
    }

    private func start(of hour: Int64) -> Int64 { hour - (hour % width + width) % width }

    private mutating func widen() {
        width = width == 1 ? 24 : 2 * width
        var wider: [Int64: Hour] = [:]
        for (hour, value) in hours { wider[start(of: hour), default: Hour()] += value }
        hours = wider
    }
}

extension Timeline.Hour {
    fileprivate static func += (hour: inout Self, other: Self) {
        for place in hour.denials.indices { hour.denials[place] += other.denials[place] }
        hour.permitted += other.permitted
        hour.probes += other.probes
        hour.grantsChange += other.grantsChange
    }
}

/// The grants that live, as far as the log tells.
struct LiveGrants {
    struct Key: Hashable {
        var host: Int
        var server: Int?
        var client: IPAddress?
        var port: ServicePort?
    }

    /// 4 MB.
    static let grantsMax = 131_072

    /// Hashes, since only their number is told.
    private var alive: Set<Int> = []
    /// Grants that lived when the told time began: those that began before and hadn't ended, and those that ended later
    /// and whose beginning is not in the log.
    private(set) var earlierCount = 0

    /// A grant began before the told time.
    mutating func beganEarlier(_ key: Key) { if began(key) { earlierCount += 1 } }

    /// A grant ended before the told time.
    mutating func endedEarlier(_ key: Key) { if alive.remove(key.hashValue) != nil { earlierCount -= 1 } }

    /// - Returns: whether there is one grant more.
    mutating func began(_ key: Key) -> Bool {
        guard alive.count < Self.grantsMax else { return false }
        return alive.insert(key.hashValue).inserted
    }

    /// - Returns: whether there is one grant less.
    mutating func ended(_ key: Key) -> Bool {
        if alive.remove(key.hashValue) != nil { return true }
        guard alive.count < Self.grantsMax else { return false }
        earlierCount += 1
        return true
    }

    var count: Int { alive.count }
}
