import Addresses
import AuditTrail
import Clock

/// What happened in each hour. Hours beyond a number of them are counted together.
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

    /// By the number of hours since 1970.
    private(set) var hours: [Int64: Hour] = [:]
    /// What belongs to hours that have no place.
    private(set) var others = Hour()

    mutating func note(at time: Timestamp, _ change: (inout Hour) -> Void) {
        let hour = time.milliseconds / Self.milliseconds
        if hours[hour] != nil || hours.count < Self.hoursMax {
            change(&hours[hour, default: Hour()])
        } else {
            change(&others)
        }
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
    /// Grants that ended and whose beginning is not in the log: they lived when it began.
    private(set) var earlierCount = 0

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
