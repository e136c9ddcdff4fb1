/// The units of durations, smallest first.
private enum DurationUnit: String, CaseIterable {
    case milliseconds = "ms"
    case seconds = "s"
    case minutes = "m"
    case hours = "h"
    case days = "d"

    var duration: Duration {
        switch self {
        case .milliseconds: .milliseconds(1)
        case .seconds: .seconds(1)
        case .minutes: .seconds(60)
        case .hours: .seconds(3600)
        case .days: .seconds(86_400)
        }
    }
}

extension Syntax where Value == Duration {
    /// A number and a unit, such as `800ms`, `30s`, `10m`, `1h` or `30d`; also `0` if `zeroIsAllowed`, where it
    /// turns something off.
    static func duration(_ range: ClosedRange<Duration>, orZero zeroIsAllowed: Bool = false) -> Self {
        Self { text throws(Mistake) in
            let digits = text.prefix { $0.isASCII && $0.isNumber }
            guard (1...9).contains(digits.count), let number = Int(digits) else { throw noDuration(text) }
            let suffix = text.dropFirst(digits.count)
            guard !suffix.isEmpty || number == 0 else {
                throw Mistake("\(quoted(text)) has no unit", hint: "write \(text)s for seconds")
            }
            guard let unit = suffix.isEmpty ? .seconds : DurationUnit(rawValue: String(suffix)) else {
                throw noDuration(text)
            }
            if zeroIsAllowed, number == 0 { return .zero }
            let duration = unit.duration * number
            guard range.contains(duration) else {
                let zero = zeroIsAllowed ? "0, or " : ""
                throw Mistake(
                    "\(text) is out of range; use \(zero)\(self.text(of: range.lowerBound)) to"
                        + " \(self.text(of: range.upperBound))"
                )
            }
            return duration
        }
    }

    private static func noDuration(_ text: String) -> Mistake {
        Mistake("\(quoted(text)) is not a duration", hint: "write a number and one of ms, s, m, h, d, such as 30s")
    }

    /// The duration in the largest unit that gives a whole number.
    private static func text(of duration: Duration) -> String {
        for unit in DurationUnit.allCases.reversed() {
            let count = Int((duration / unit.duration).rounded())
            if count > 0, unit.duration * count == duration { return "\(count)\(unit.rawValue)" }
        }
        return "\(duration)"
    }
}

extension Duration {
    /// A duration in the configuration's syntax, such as `90s` or `1h`; `nil` for other text.
    public init?(configurationText text: String) {
        do throws(Mistake) {
            self = try Syntax<Duration>.duration(.zero ... .seconds(365 * 86_400)).parse(text)
        } catch {
            return nil
        }
    }
}
