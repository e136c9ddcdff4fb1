import Addresses
import Glibc
import TestSupport
import Testing

/// The result of `inet_pton` for the text: IPv4 first, then IPv6. A mapped address becomes IPv4, as in
/// ``IPAddress``.
private func parsedByLibc(_ text: String) -> IPAddress? {
    var bytes = [UInt8](repeating: 0, count: 16)
    if inet_pton(AF_INET, text, &bytes) == 1 { return IPAddress(networkBytes: bytes.prefix(4)) }
    if inet_pton(AF_INET6, text, &bytes) == 1 { return IPAddress(networkBytes: bytes) }
    return nil
}

private func printedByLibc(_ address: IPAddress) -> String {
    var text = [CChar](repeating: 0, count: 64)
    let bytes = address.networkBytes
    _ = inet_ntop(address.isIPv4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

extension SeededGenerator {
    /// A random address; runs of zeros are frequent in IPv6.
    fileprivate mutating func address() -> IPAddress {
        if Bool.random(using: &self) { return .v4(UInt32.random(in: 0...UInt32.max, using: &self)) }
        let groups = (0..<8).map { _ in
            Bool.random(using: &self)
                ? 0 : UInt128(UInt16.random(in: 0...UInt16.max, using: &self) >> Int.random(in: 0...15, using: &self))
        }
        return IPAddress(v6Bits: groups.reduce(0) { $0 << 16 | $1 })
    }

    /// One of the usual notations of the address.
    fileprivate mutating func text(of address: IPAddress) -> String {
        guard case .v6(let words) = address else {
            return Int.random(in: 0..<4, using: &self) == 0 ? "::ffff:\(address)" : "\(address)"
        }
        let bits = words.value
        switch Int.random(in: 0..<3, using: &self) {
        case 0: return address.description
        case 1:
            return (0..<8).map { String(UInt16(truncatingIfNeeded: bits >> (112 - 16 * $0)), radix: 16) }.joined(
                separator: ":")
        default:
            let head = (0..<6).map {
                String(UInt16(truncatingIfNeeded: bits >> (112 - 16 * $0)), radix: 16, uppercase: true)
            }
            return head.joined(separator: ":") + ":\(IPAddress.v4(UInt32(truncatingIfNeeded: bits)))"
        }
    }

    fileprivate mutating func mutate(_ text: String) -> String {
        var characters = Array(text)
        for _ in 0..<Int.random(in: 1...3, using: &self) {
            let letter = "0123456789abcdefABCDEF:::::.....%/ gx-+".randomElement(using: &self) ?? ":"
            let place = Int.random(in: 0...characters.count, using: &self)
            switch Int.random(in: 0..<4, using: &self) {
            case 0: characters.insert(letter, at: place)
            case 1 where place < characters.count: characters[place] = letter
            case 2 where place < characters.count: characters.remove(at: place)
            case 3 where place < characters.count: characters.insert(characters[place], at: place)
            default: break
            }
        }
        return String(characters)
    }

    /// A short text of colons, dots and digits, in which corner cases are frequent.
    fileprivate mutating func noise() -> String {
        String((0..<Int.random(in: 0...18, using: &self)).map { _ in "01f::::..".randomElement(using: &self) ?? ":" })
    }
}

@Suite("IP address against libc") struct IPAddressOracleTests {
    @Test("accepts and refuses what inet_pton does, with the same value", arguments: 0..<8 as Range<UInt64>)
    func parses(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        for _ in 0..<1500 {
            let plain = random.text(of: random.address())
            for text in [plain, random.mutate(plain), random.noise()] {
                let (ours, libc) = (IPAddress(text), parsedByLibc(text))
                if ours != libc {
                    Issue.record(
                        "\"\(text)\": \(ours.map(\.description) ?? "refused"), libc \(libc.map(\.description) ?? "refused")"
                    )
                }
            }
        }
    }

    /// One difference: libc prints an IPv4-compatible address (deprecated by RFC 4291, 2.5.5.1) with dots.
    @Test("prints what inet_ntop does, and parses what it prints", arguments: 0..<4 as Range<UInt64>)
    func prints(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        for _ in 0..<1500 {
            let address = random.address()
            #expect(IPAddress(address.description) == address)
            let isCompatible =
                if case .v6(let bits) = address { bits.value >> 32 == 0 && bits.value >> 16 != 0 } else { false }
            if !isCompatible, address.description != printedByLibc(address) {
                Issue.record("\(address), libc \(printedByLibc(address))")
            }
        }
    }
}
