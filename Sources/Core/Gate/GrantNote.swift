import Addresses
import Clock
import Firewall

/// The comment of a grant's element: enough to adopt the grant after a restart.
///
/// Characters of the rule's label that a comment must not hold become `?`; the label is only for people.
public struct GrantNote: Hashable, Sendable, CustomStringConvertible {
    public static let bytesMax = ElementComment.bytesMax

    public var program: Program
    public var issued: Timestamp
    public var rule: String

    public init(program: Program, issued: Timestamp, rule: String) {
        self.program = program
        self.issued = issued
        self.rule = rule
    }

    /// The note of a copy: a node of the pair issued the grant, and this node's rule permits it.
    public init(program: Program, issued: Timestamp, rule: String, origin: String) {
        let mark = Self.mark(of: origin)
        // The mark tells a copy after a restart: a long label is cut in front of it.
        var label = rule
        let room = Self.bytesMax - Self.fixedBytes - mark.utf8.count
        while label.utf8.count > max(0, room) { label.removeLast() }
        self.init(program: program, issued: issued.wholeSeconds, rule: label + mark)
    }

    private static func mark(of origin: String) -> String { " (from \(origin))" }

    /// Program, time, and the words between them.
    private static let fixedBytes = 10 + " since ".utf8.count + Timestamp.bytes + " by ".utf8.count

    /// The node that issued the grant, if this is a copy. Labels of rules end with a digit or a quote.
    public var origin: String? { Self.origin(ofRule: rule) }

    /// The same, from the label.
    public static func origin(ofRule rule: String) -> String? {
        guard rule.utf8.last == UInt8(ascii: ")"), let start = rule.ranges(of: " (from ").last?.upperBound else {
            return nil
        }
        let name = rule[start...].dropLast()
        return name.isEmpty || name.contains("(") ? nil : String(name)
    }

    private static let quote = UInt8(ascii: "\"")
    private static let apostrophe = UInt8(ascii: "'")
    private static let unknown = UInt8(ascii: "?")

    /// `100005 since 2026-11-21T11:40:03Z by policy.yaml:14 'workstations mount NFSv3'`
    public var description: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.bytesMax)
        bytes.append(decimal: Int64(program.rawValue))
        bytes += " since ".utf8
        issued.write(to: &bytes)
        bytes += " by ".utf8
        for byte in rule.utf8 where !UTF8.isContinuation(byte) {
            guard bytes.count < Self.bytesMax else { break }
            bytes.append(byte == Self.quote ? Self.apostrophe : ElementComment.permits(byte) ? byte : Self.unknown)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Returns `nil` for any other text: every process that may change the table may have written it.
    public init?(_ comment: String) {
        let bytes = Array(comment.utf8)
        guard let space = bytes.firstIndex(of: UInt8(ascii: " ")), let number = Self.program(bytes[..<space]) else {
            return nil
        }
        var rest = bytes[space...]
        guard rest.takePrefix(" since "), let issued = Timestamp(bytes: rest.prefix(Timestamp.bytes)) else {
            return nil
        }
        rest = rest.dropFirst(Timestamp.bytes)
        guard rest.takePrefix(" by ") else { return nil }
        let rule = rest.lazy.filter { !UTF8.isContinuation($0) }.map {
            $0 == Self.apostrophe || $0 == Self.quote ? Self.quote : ElementComment.permits($0) ? $0 : Self.unknown
        }
        self.init(program: number, issued: issued, rule: String(decoding: rule, as: UTF8.self))
    }

    private static func program(_ digits: ArraySlice<UInt8>) -> Program? {
        guard (1...10).contains(digits.count), let number = Int64(decimal: digits) else { return nil }
        return UInt32(exactly: number).map { Program($0) }
    }
}

extension ArraySlice<UInt8> {
    fileprivate mutating func takePrefix(_ text: StaticString) -> Bool {
        let isThere = text.withUTF8Buffer { starts(with: $0) }
        if isThere { self = dropFirst(text.utf8CodeUnitCount) }
        return isThere
    }
}
