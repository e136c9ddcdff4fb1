import Addresses
import Configuration

extension Syntax where Value == Int {
    static func count(_ range: ClosedRange<Int>) -> Self {
        Self { text throws(Mistake) in
            guard !text.isEmpty, text.utf8.allSatisfy(isDigit), text == "0" || !text.hasPrefix("0") else {
                throw Mistake("expected a number, found \(quoted(text))")
            }
            guard let number = Int(text), range.contains(number) else {
                throw Mistake("\(text.prefix(20)) is out of range; use \(range.lowerBound) to \(range.upperBound)")
            }
            return number
        }
    }
}

extension Syntax where Value == UInt16 {
    static var port: Self {
        Self { text throws(Mistake) in
            UInt16(truncatingIfNeeded: try Syntax<Int>.count(1...65_535).parse(text))
        }
    }
}

extension Syntax where Value == UInt16 {
    /// An NFLOG group; 0: none.
    static var logGroup: Self {
        Self { text throws(Mistake) in
            UInt16(truncatingIfNeeded: try Syntax<Int>.count(0...65_535).parse(text))
        }
    }
}

extension Syntax where Value == UInt32 {
    /// A packet mark, `0x10000` or `65536`.
    static var mark: Self {
        Self { text throws(Mistake) in
            let isHex = text.hasPrefix("0x") || text.hasPrefix("0X")
            let digits = isHex ? text.dropFirst(2) : text[...]
            let isOctal = !isHex && digits.hasPrefix("0") && digits != "0"
            guard !isOctal, !digits.isEmpty, digits.utf8.allSatisfy(isLetterOrDigit),
                let mark = UInt32(digits, radix: isHex ? 16 : 10)
            else {
                throw Mistake("\(quoted(text)) is not a mark", hint: "write 0 to 0xffffffff, in hexadecimal or decimal")
            }
            return mark
        }
    }

    /// Bits of a connection mark that identify flows: at least one.
    static var flowMark: Self {
        Self { text throws(Mistake) in
            let mark = try Self.mark.parse(text)
            guard mark != 0 else {
                throw Mistake("the mark has no bit, and flows are recognized by it", hint: "write 1 to 0xffffffff")
            }
            return mark
        }
    }
}

extension Syntax where Value == UInt32 {
    /// A routing table of ip-route(8) by its number; the kernel's own tables are refused.
    static var routingTable: Self {
        Self { text throws(Mistake) in
            let number = UInt32(truncatingIfNeeded: try Syntax<Int>.count(1...Int(UInt32.max)).parse(text))
            guard !(253...255).contains(number) else {
                throw Mistake("\(number) is one of the kernel's own routing tables", hint: "choose another number")
            }
            return number
        }
    }
}

extension Syntax where Value == Settings.PortRange {
    /// `tcp/2049` or `udp/32765-32768`.
    static var portRange: Self {
        Self { text throws(Mistake) in
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            let ends = parts.last?.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false) ?? []
            guard parts.count == 2, !ends.contains("") else {
                throw Mistake("\(quoted(text)) is not a port range", hint: "write tcp/2049 or udp/32765-32768")
            }
            guard let transport = Transport(name: parts[0]) else {
                throw Mistake(
                    "expected tcp or udp, found \(quoted(parts[0]))",
                    hint: Suggestion.forWord(String(parts[0]), among: Transport.allCases.map(\.description)))
            }
            let first = try Syntax<UInt16>.port.parse(String(ends[0]))
            let last = ends.count == 2 ? try Syntax<UInt16>.port.parse(String(ends[1])) : first
            guard first <= last else {
                throw Mistake("\(quoted(text)) runs backwards", hint: "write \(transport)/\(last)-\(first)")
            }
            return Settings.PortRange(transport, first...last)
        }
    }
}
