/// The results of several rounds.
struct Spread: Codable, Equatable {
    var median: Double
    var low: Double
    var high: Double

    init(_ samples: [Double]) {
        let sorted = samples.sorted()
        guard let first = sorted.first, let last = sorted.last else {
            (median, low, high) = (.nan, .nan, .nan)
            return
        }
        let middle = sorted.count / 2
        median = sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
        (low, high) = (first, last)
    }

    init(_ value: Double) { self.init([value]) }
}

/// Quotients round by round: a disturbance that slows one measurement down slows the other too.
func quotients(_ some: [Double], by others: [Double]) -> [Double] {
    zip(some, others).map { $1 > 0 ? $0 / $1 : .infinity }
}
