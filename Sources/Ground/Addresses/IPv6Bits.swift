/// The 128 bits of an IPv6 address, as a number.
///
/// Two words rather than a stored `UInt128`: Swift 6.3.1 reads a 128-bit payload of an enum with aligned instructions
/// from stack slots that aren't aligned (seen as a crash in debug builds). Sums are done in `UInt128`, on the fly.
public struct IPv6Bits: Hashable, Sendable {
    private var high: UInt64
    private var low: UInt64

    public init(_ value: UInt128) {
        high = UInt64(truncatingIfNeeded: value >> 64)
        low = UInt64(truncatingIfNeeded: value)
    }

    public var value: UInt128 { UInt128(high) << 64 | UInt128(low) }

    /// The first 64 bits: the smallest prefix that a site is assigned.
    public var subnet: UInt64 { high }
}

extension IPv6Bits: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: UInt128) { self.init(value) }
}

/// The bits of addresses as numbers, in ascending order and without gaps.
public protocol AddressBits: Hashable, Comparable, Sendable {
    static var min: Self { get }
    static var max: Self { get }
    /// The next number; there must be one.
    var successor: Self { get }
    /// The previous number; there must be one.
    var predecessor: Self { get }
}

extension IPv6Bits: AddressBits {
    public static var min: Self { Self(UInt128.min) }
    public static var max: Self { Self(UInt128.max) }
    public var successor: Self { Self(value + 1) }
    public var predecessor: Self { Self(value - 1) }

    public static func < (left: Self, right: Self) -> Bool {
        left.high != right.high ? left.high < right.high : left.low < right.low
    }
}

extension UInt32: AddressBits {
    public var successor: Self { self + 1 }
    public var predecessor: Self { self - 1 }
}
