import Clock

/// A plot of a section: its values, before they are drawn or listed.
enum Plot {
    struct Bar {
        var label: String
        var value: Int
    }

    struct Series {
        var name: String
        /// One for each hour.
        var values: [Int]
    }

    case bars(title: String, [Bar], others: Int)
    /// Sums by time, the series on top of each other.
    case columns(title: String, Times, [Series])
    /// A number that stays as it is until the next hour in the list.
    case level(title: String, Times, [Int])

    static let barsMax = 12
    /// As many as the colours of the page.
    static let seriesMax = 5

    /// The values as a table, for all who don't see the plot; `nil`: another table has them.
    func table(rowsMax: Int) -> Outline.Table? {
        switch self {
        case .bars: return nil
        case .columns(_, let times, let series):
            let steps = times.steps(max: rowsMax)
            let sums = series.map { steps.sums($0.values, of: times) }
            let rows = (0..<steps.count).filter { step in sums.contains { $0[step] > 0 } }.map { step in
                [steps.label(step)] + sums.map { grouped($0[step]) }
            }
            return Outline.Table(
                caption: "By \(steps.unit)", headings: ["From"] + series.map(\.name), numeric: Set(1...series.count),
                rows: rows)
        case .level(_, let times, let values):
            let steps = times.steps(max: rowsMax)
            let levels = steps.levels(values, of: times)
            return Outline.Table(
                caption: "At the end of each \(steps.unit)", headings: ["From", "Grants alive"], numeric: [1],
                rows: (0..<steps.count).map { [steps.label($0), grouped(levels[$0])] })
        }
    }
}

extension Plot {
    /// The hours of the values, in order, by their number since 1970.
    struct Times {
        let hours: [Int64]

        init(_ hours: [Int64]) { self.hours = hours }

        /// Steps of equal length that cover the hours, not more than so many.
        func steps(max stepsMax: Int) -> Steps {
            guard let first = hours.first, let last = hours.last else { return Steps(hours: 1, first: 0, count: 0) }
            var width = Int64(1)
            for next in Self.widths where (last - first) / width >= Int64(stepsMax) { width = next }
            while (last / width - first / width) >= Int64(stepsMax) { width *= 2 }
            return Steps(hours: width, first: first / width, count: Int(last / width - first / width) + 1)
        }

        /// Hours, days and weeks; then their doubles.
        private static let widths: [Int64] = [2, 3, 4, 6, 12, 24, 48, 168, 336]
    }

    struct Steps {
        var hours: Int64
        /// The number of the first step since 1970.
        var first: Int64
        var count: Int

        func step(of hour: Int64) -> Int { Int(hour / hours - first) }

        func sums(_ values: [Int], of times: Times) -> [Int] {
            var sums = [Int](repeating: 0, count: count)
            for (hour, value) in zip(times.hours, values) { sums[step(of: hour)] += value }
            return sums
        }

        func levels(_ values: [Int], of times: Times) -> [Int] {
            var levels = [Int?](repeating: nil, count: count)
            for (hour, value) in zip(times.hours, values) { levels[step(of: hour)] = value }
            var last = 0
            return levels.map { level in
                last = level ?? last
                return last
            }
        }

        func label(_ step: Int) -> String {
            let time = Timestamp(milliseconds: (first + Int64(step)) * hours * Timeline.milliseconds).description
            return hours % 24 == 0 ? String(time.prefix(10)) : time.prefix(10) + " " + time.dropFirst(11).prefix(5)
        }

        var unitWithNumber: String { unit.first?.isNumber == true ? unit : "1 \(unit)" }

        var unit: String {
            switch hours {
            case 1: "hour"
            case 24: "day"
            case 168: "week"
            case _: hours % 24 == 0 ? "\(hours / 24) days" : "\(hours) hours"
            }
        }
    }
}
