extension [UInt8] {
    /// Appends the number's decimal digits, padded with zeros to `width`.
    public mutating func append(decimal number: Int64, width: Int = 1) {
        if number < 0 { append(UInt8(ascii: "-")) }
        var unit: UInt64 = 1
        for place in 2...19 where place <= width || number.magnitude / unit >= 10 { unit *= 10 }
        while unit > 0 {
            append(UInt8(ascii: "0") + UInt8(number.magnitude / unit % 10))
            unit /= 10
        }
    }
}

extension Int64 {
    /// Parses decimal digits, at most 18, without a sign.
    public init?(decimal digits: ArraySlice<UInt8>) {
        guard (1...18).contains(digits.count) else { return nil }
        self = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            self = self * 10 + Int64(digit - UInt8(ascii: "0"))
        }
    }
}
