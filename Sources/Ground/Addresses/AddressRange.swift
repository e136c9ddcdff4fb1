/// A prefix such as `10.20.0.0/16`; the bits beyond `length` are zero.
public struct Prefix: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let address: IPAddress
    public let length: Int

    /// The prefix that holds `address`; `nil` if `length` does not fit the address family.
    public init?(_ address: IPAddress, length: Int) {
        switch address {
        case .v4(let bits):
            guard (0...32).contains(length) else { return nil }
            self.address = .v4(length == 0 ? 0 : bits & (UInt32.max << UInt32(32 - length)))
        case .v6(let bits):
            guard (0...128).contains(length) else { return nil }
            self.address = .v6(IPv6Bits(length == 0 ? 0 : bits.value & (UInt128.max << UInt128(128 - length))))
        }
        self.length = length
    }

    /// The prefix of a single address.
    public init(_ address: IPAddress) {
        self.address = address
        length = address.isIPv4 ? 32 : 128
    }

    public var range: AddressRange {
        switch address {
        case .v4(let bits):
            AddressRange(address, .v4(length == 0 ? .max : bits | ~(UInt32.max << UInt32(32 - length))))
        case .v6(let bits):
            AddressRange(
                address, .v6(length == 0 ? .max : IPv6Bits(bits.value | ~(UInt128.max << UInt128(128 - length)))))
        }
    }

    public static func < (left: Self, right: Self) -> Bool {
        left.address != right.address ? left.address < right.address : left.length < right.length
    }

    public var description: String { "\(address)/\(length)" }
}

/// All addresses from `first` to `last`, inclusive; both are of one family.
public struct AddressRange: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let first: IPAddress
    public let last: IPAddress

    public static let allIPv4 = AddressRange(.v4(0), .v4(.max))
    public static let allIPv6 = AddressRange(.v6(0), .v6(IPv6Bits(UInt128.max)))

    public init(_ first: IPAddress, _ last: IPAddress) {
        precondition(first.isIPv4 == last.isIPv4 && first <= last, "a range runs upwards in one family")
        self.first = first
        self.last = last
    }

    public func contains(_ address: IPAddress) -> Bool {
        address.isIPv4 == first.isIPv4 && first <= address && address <= last
    }

    /// Whether each of the addresses is in one of the sets, whose ranges are disjoint and ascending.
    public func isCovered(by sets: [[AddressRange]]) -> Bool {
        var next: IPAddress? = first
        while let address = next, address <= last {
            guard let range = sets.lazy.compactMap({ $0.range(holding: address) }).first else { return false }
            next = range.last.successor
        }
        return true
    }

    public static func < (left: Self, right: Self) -> Bool {
        left.first != right.first ? left.first < right.first : left.last < right.last
    }

    public var description: String { first == last ? "\(first)" : "\(first)-\(last)" }
}

extension AddressRange {
    /// Whether `later`, which doesn't start before this range, overlaps it or follows it without a gap.
    fileprivate func reaches(_ later: AddressRange) -> Bool {
        guard let next = last.successor else { return later.first.isIPv4 == first.isIPv4 }
        return later.first.isIPv4 == first.isIPv4 && later.first <= next
    }
}

extension IPAddress {
    /// The next address of the family; `nil` after the last.
    var successor: IPAddress? {
        switch self {
        case .v4(let bits): bits == .max ? nil : .v4(bits + 1)
        case .v6(let bits): bits.value == .max ? nil : .v6(IPv6Bits(bits.value + 1))
        }
    }

    fileprivate var predecessor: IPAddress? {
        switch self {
        case .v4(let bits): bits == 0 ? nil : .v4(bits - 1)
        case .v6(let bits): bits.value == 0 ? nil : .v6(IPv6Bits(bits.value - 1))
        }
    }
}

extension [AddressRange] {
    /// The same addresses as disjoint ranges in ascending order; adjacent ranges are merged.
    public var union: [AddressRange] {
        var result: [AddressRange] = []
        for range in sorted() {
            guard let last = result.last, last.reaches(range) else {
                result.append(range)
                continue
            }
            result[result.count - 1] = AddressRange(last.first, Swift.max(last.last, range.last))
        }
        return result
    }

    /// The addresses of these disjoint ranges without those of `others`: disjoint ranges, in the same order.
    public func subtracting(_ others: [AddressRange]) -> [AddressRange] {
        let others = others.union
        return flatMap { range in
            var rest: [AddressRange] = []
            var start: IPAddress? = range.first
            for other in others[others.firstIndex(endingAtOrAfter: range.first)...] {
                guard other.first <= range.last, let from = start else { break }
                if let end = other.first.predecessor, from <= end, end.isIPv4 == from.isIPv4 {
                    rest.append(AddressRange(from, end))
                }
                start = other.last.successor
            }
            if let from = start, from <= range.last { rest.append(AddressRange(from, range.last)) }
            return rest
        }
    }

    /// The range that holds the address, by binary search; the ranges must be disjoint and ascending.
    public func range(holding address: IPAddress) -> AddressRange? {
        let index = firstIndex(endingAtOrAfter: address)
        return index < count && self[index].contains(address) ? self[index] : nil
    }

    fileprivate func firstIndex(endingAtOrAfter address: IPAddress) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
