/// An IPv4 or IPv6 address, without zone; an IPv4-mapped IPv6 address is stored as IPv4.
public enum IPAddress: TableKey, Sendable {
    case v4(UInt32)
    case v6(IPv6Bits)

    @inlinable
    public func combine(into hash: inout TableHash) {
        switch self {
        case .v4(let bits): hash.combine(bits)
        case .v6(let bits):
            hash.combine(bits.subnet)
            hash.combine(bits.value)
        }
    }

    /// The address with these 128 bits; `::ffff:a.b.c.d` becomes the IPv4 address `a.b.c.d`.
    public init(v6Bits bits: UInt128) {
        self = bits >> 32 == 0xffff ? .v4(UInt32(truncatingIfNeeded: bits)) : .v6(IPv6Bits(bits))
    }

    /// Parses a numeric address (RFC 4291, 2.2, and dotted quads); `nil` for names, zones and anything else.
    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        if let quad = Self.dottedQuad(bytes[...]) {
            self = .v4(quad)
        } else if let bits = Self.colonHex(bytes[...]) {
            self.init(v6Bits: bits)
        } else {
            return nil
        }
    }

    public var isIPv4: Bool {
        switch self {
        case .v4: true
        case .v6: false
        }
    }

    public var isLoopback: Bool {
        switch self {
        case .v4(let bits): bits >> 24 == 127
        case .v6(let bits): bits == 1
        }
    }

    /// `0.0.0.0` or `::`, as a wildcard registration shows it.
    public var isUnspecified: Bool {
        switch self {
        case .v4(let bits): bits == 0
        case .v6(let bits): bits == 0
        }
    }

    /// Multicast, or IPv4's limited broadcast; a subnet's broadcast address can't be recognized without the netmask.
    public var isMulticastOrBroadcast: Bool {
        switch self {
        case .v4(let bits): bits >> 28 == 0xe || bits == UInt32.max
        case .v6(let bits): bits.value >> 120 == 0xff
        }
    }

    /// fe80::/10 (RFC 4291, 2.5.6): it means nothing without an interface.
    public var isLinkLocal: Bool {
        switch self {
        case .v4: false
        case .v6(let bits): bits.value >> 118 == 0x3fa
        }
    }

    /// Network byte order: 4 or 16 bytes.
    public var networkBytes: [UInt8] {
        switch self {
        case .v4(let bits): withUnsafeBytes(of: bits.bigEndian) { Array($0) }
        case .v6(let bits): withUnsafeBytes(of: bits.value.bigEndian) { Array($0) }
        }
    }

    /// The address in `bytes`, in network byte order; `nil` unless there are 4 or 16 bytes.
    @inlinable
    public init?(networkBytes bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4: self = .v4(bytes.reduce(0) { $0 << 8 | UInt32($1) })
        case 16: self.init(v6Bits: bytes.reduce(0) { $0 << 8 | UInt128($1) })
        default: return nil
        }
    }
}

extension IPAddress {
    /// Parses in one pass, without allocation: policies hold ten thousand addresses.
    static func dottedQuad(_ bytes: ArraySlice<UInt8>) -> UInt32? {
        var value: UInt32 = 0
        var octets = 0
        var start = bytes.startIndex
        while octets < 4 {
            let end = octets < 3 ? bytes[start...].firstIndex(of: UInt8(ascii: ".")) : bytes.endIndex
            guard let end, let octet = decimal(bytes[start..<end], max: 255) else { return nil }
            value = value << 8 | octet
            octets += 1
            start = min(end + 1, bytes.endIndex)
        }
        return value
    }

    /// A decimal number without sign or leading zeros, as `inet_pton` accepts it.
    public static func decimal(_ digits: ArraySlice<UInt8>, max: UInt32) -> UInt32? {
        guard (1...5).contains(digits.count), digits.count == 1 || digits.first != UInt8(ascii: "0") else { return nil }
        var value: UInt32 = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            value = value * 10 + UInt32(digit - UInt8(ascii: "0"))
        }
        return value <= max ? value : nil
    }

    static func colonHex(_ bytes: ArraySlice<UInt8>) -> UInt128? {
        let colon = UInt8(ascii: ":")
        var fields = bytes.split(separator: colon, omittingEmptySubsequences: false)
        guard (3...9).contains(fields.count) else { return nil }
        var tail: [UInt16] = []
        if let last = fields.last, last.contains(UInt8(ascii: ".")) {
            guard let quad = dottedQuad(last) else { return nil }
            tail = [UInt16(quad >> 16), UInt16(truncatingIfNeeded: quad)]
            fields.removeLast()
        }
        // "::" leaves an empty field; at either end it leaves two, and a single colon there is invalid by RFC 4291.
        if fields[0].isEmpty {
            guard fields[1].isEmpty else { return nil }
            fields.removeFirst()
        }
        if tail.isEmpty, fields[fields.count - 1].isEmpty {
            guard fields[fields.count - 2].isEmpty else { return nil }
            fields.removeLast()
        }
        var groups: [UInt16] = []
        var gap: Int?
        for field in fields {
            if field.isEmpty {
                guard gap == nil else { return nil }
                gap = groups.count
            } else {
                guard let group = hexGroup(field) else { return nil }
                groups.append(group)
            }
        }
        groups += tail
        if let gap {
            guard groups.count <= 7 else { return nil }
            groups.insert(contentsOf: Array(repeating: 0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        return groups.reduce(0) { $0 << 16 | UInt128($1) }
    }

    private static func hexGroup(_ digits: ArraySlice<UInt8>) -> UInt16? {
        guard (1...4).contains(digits.count) else { return nil }
        var value: UInt16 = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt16(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt16(digit - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt16(digit - UInt8(ascii: "A") + 10)
            default: return nil
            }
        }
        return value
    }
}

extension IPAddress: CustomStringConvertible {
    /// Dotted quad, or the canonical text of RFC 5952.
    public var description: String {
        switch self {
        case .v4(let bits): "\(bits >> 24).\(bits >> 16 & 255).\(bits >> 8 & 255).\(bits & 255)"
        case .v6(let bits): Self.text(ofIPv6: bits.value)
        }
    }

    private static func text(ofIPv6 bits: UInt128) -> String {
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: bits >> UInt128(112 - 16 * $0)) }
        var best = 0..<0
        var start = 0
        while start < 8 {
            guard groups[start] == 0 else {
                start += 1
                continue
            }
            let end = groups[start...].firstIndex { $0 != 0 } ?? 8
            if end - start > max(best.count, 1) { best = start..<end }
            start = end
        }
        let hex = { (part: ArraySlice<UInt16>) in part.map { String($0, radix: 16) }.joined(separator: ":") }
        guard !best.isEmpty else { return hex(groups[...]) }
        return hex(groups[..<best.lowerBound]) + "::" + hex(groups[best.upperBound...])
    }
}

extension IPAddress: Comparable {
    /// Orders IPv4 before IPv6, then by number.
    public static func < (left: Self, right: Self) -> Bool {
        switch (left, right) {
        case (.v4(let left), .v4(let right)): left < right
        case (.v6(let left), .v6(let right)): left < right
        case (.v4, .v6): true
        case (.v6, .v4): false
        }
    }
}

extension IPAddress {
    /// The smallest prefix assigned to one subscriber: an IPv4 address, or an IPv6 /64, in which the subscriber
    /// can use every address.
    public var subscriberPrefix: IPAddress {
        switch self {
        case .v4: self
        case .v6(let bits): .v6(IPv6Bits(UInt128(bits.subnet) << 64))
        }
    }
}
