/// Wall-clock time, for display, logs, and the end of a fleet's policy.
public struct Timestamp: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// Since 1970-01-01T00:00:00Z.
    public var milliseconds: Int64

    public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    public static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }
    public static func + (time: Self, duration: Duration) -> Self {
        Timestamp(milliseconds: time.milliseconds + duration.nanoseconds / 1_000_000)
    }

    public var wholeSeconds: Self { Timestamp(milliseconds: milliseconds.flooredQuotient(1000) * 1000) }

    /// RFC 3339, UTC: `2026-11-21T11:40:03Z`.
    public var description: String { text(withFraction: false) }

    /// RFC 3339, UTC, with milliseconds.
    public var precise: String { text(withFraction: true) }

    private func text(withFraction: Bool) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.bytes + 4)
        write(to: &bytes, withFraction: withFraction)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The bytes of ``description``, for years of four digits.
    public static let bytes = 20

    public func write(to bytes: inout [UInt8], withFraction: Bool = false) {
        let seconds = milliseconds.flooredQuotient(1000)
        let days = seconds.flooredQuotient(86_400)
        let (year, month, day) = Self.civil(fromDays: days)
        let time = seconds - days * 86_400
        bytes.append(decimal: year, width: 4)
        for (sign, number) in [("-", month), ("-", day), ("T", time / 3600), (":", time / 60 % 60), (":", time % 60)]
            as [(Unicode.Scalar, Int64)]
        {
            bytes.append(UInt8(ascii: sign))
            bytes.append(decimal: number, width: 2)
        }
        if withFraction {
            bytes.append(UInt8(ascii: "."))
            bytes.append(decimal: milliseconds - seconds * 1000, width: 3)
        }
        bytes.append(UInt8(ascii: "Z"))
    }

    /// The Gregorian date, computed in eras of 400 years that begin on 1 March.
    private static func civil(fromDays days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = shifted.flooredQuotient(146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    /// Parses the format of ``description``.
    public init?(_ text: some StringProtocol) {
        self.init(bytes: Array(text.utf8)[...])
    }

    public init?(bytes: ArraySlice<UInt8>) {
        guard bytes.count == Self.bytes else { return nil }
        let start = bytes.startIndex
        let number = { (range: Range<Int>) in Int64(decimal: bytes[start + range.lowerBound..<start + range.upperBound])
        }
        let signs: [(Int, Unicode.Scalar)] = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (19, "Z")]
        guard signs.allSatisfy({ bytes[start + $0.0] == UInt8(ascii: $0.1) }),
            let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
            (1...12).contains(month), hour < 24, minute < 60, second < 60
        else { return nil }
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = shiftedYear.flooredQuotient(400)
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * 146_097 + dayOfEra - 719_468
        // An invalid date, such as 30 February, results in another day.
        guard Self.civil(fromDays: days) == (year, month, day) else { return nil }
        milliseconds = (days * 86_400 + hour * 3600 + minute * 60 + second) * 1000
    }
}

extension Int64 {
    fileprivate func flooredQuotient(_ divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
