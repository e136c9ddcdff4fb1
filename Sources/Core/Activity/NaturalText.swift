/// Text in the order in which people number things: `10.0.0.9` comes before `10.0.0.10`.
struct NaturalText: Hashable, Comparable {
    var text: String

    init(_ text: String) { self.text = text }

    static func < (left: Self, right: Self) -> Bool {
        var (one, other) = (left.text.utf8[...], right.text.utf8[...])
        while let first = one.first, let second = other.first {
            if isDigit(first), isDigit(second) {
                let (number, otherNumber) = (takeNumber(from: &one), takeNumber(from: &other))
                if number.count != otherNumber.count { return number.count < otherNumber.count }
                if !number.elementsEqual(otherNumber) { return number.lexicographicallyPrecedes(otherNumber) }
            } else {
                if first != second { return first < second }
                one.removeFirst()
                other.removeFirst()
            }
        }
        if one.isEmpty != other.isEmpty { return one.isEmpty }
        // The same but for leading zeros.
        return left.text < right.text
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    /// - Returns: the digits, without leading zeros.
    private static func takeNumber(from rest: inout Substring.UTF8View) -> Substring.UTF8View {
        let digits = rest.prefix(while: isDigit)
        rest = rest.dropFirst(digits.count)
        return digits.drop { $0 == UInt8(ascii: "0") }
    }
}
