import ONCRPC

extension XDREncoder {
    mutating func uint64(_ value: UInt64) {
        uint32(UInt32(truncatingIfNeeded: value >> 32))
        uint32(UInt32(truncatingIfNeeded: value))
    }

    /// A duration in nanoseconds, up to 292 years.
    mutating func duration(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let (scaled, isOver) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, isSumOver) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        uint64(UInt64(bitPattern: isOver || isSumOver ? (seconds < 0 ? .min : .max) : sum))
    }

    /// The text, cut between characters to the length that the reader takes.
    mutating func string(_ text: String, max bytesMax: Int) {
        guard text.utf8.count > bytesMax else { return self.text(text) }
        var cut = String.UnicodeScalarView()
        var bytes = 0
        for scalar in text.unicodeScalars {
            bytes += UTF8.width(scalar)
            guard bytes <= bytesMax else { break }
            cut.append(scalar)
        }
        self.text(String(cut))
    }

    mutating func list<Items: Collection>(_ items: Items, _ write: (inout Self, Items.Element) -> Void) {
        uint32(UInt32(items.count))
        for item in items { write(&self, item) }
    }

    mutating func optional<Value>(_ value: Value?, _ write: (inout Self, Value) -> Void) {
        bool(value != nil)
        if let value { write(&self, value) }
    }
}

extension XDRDecoder {
    mutating func uint64() throws(XDRError) -> UInt64 {
        let high = try uint32()
        return try UInt64(high) << 32 | UInt64(uint32())
    }

    mutating func duration() throws(XDRError) -> Duration {
        try .nanoseconds(Int64(bitPattern: uint64()))
    }

    /// Any UTF-8, which ``text(max:)`` doesn't take.
    mutating func string(max bytesMax: Int) throws(XDRError) -> String {
        guard let text = String(validating: try opaque(max: bytesMax), as: UTF8.self) else { throw .notText }
        return text
    }

    /// The number of items that follow, each of at least `itemBytesMin`; so no number causes an allocation larger
    /// than the message.
    private mutating func count(max: Int, itemBytesMin: Int) throws(XDRError) -> Int {
        let count = try uint32()
        guard count <= UInt32(clamping: max) else { throw .tooLong(length: count, limit: max) }
        guard Int(count) <= remaining / itemBytesMin else { throw .truncated }
        return Int(count)
    }

    mutating func list<Item>(
        max: Int, itemBytesMin: Int, _ read: (inout Self) throws(XDRError) -> Item
    ) throws(XDRError) -> [Item] {
        let count = try count(max: max, itemBytesMin: itemBytesMin)
        var items: [Item] = []
        items.reserveCapacity(count)
        for _ in 0..<count { items.append(try read(&self)) }
        return items
    }

    mutating func optional<Value>(_ read: (inout Self) throws(XDRError) -> Value) throws(XDRError) -> Value? {
        try bool() ? try read(&self) : nil
    }

    mutating func uint16() throws(XDRError) -> UInt16 {
        let value = try uint32()
        guard let short = UInt16(exactly: value) else { throw .invalid(value) }
        return short
    }
}
