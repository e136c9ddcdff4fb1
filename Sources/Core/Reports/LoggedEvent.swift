import Addresses
import AuditTrail
import Clock
import JSON

/// A line of the audit log, read back: one of rpcwarden's JSON lines, or a line of `journalctl -o json`.
public struct LoggedEvent: Hashable, Sendable {
    public var event: AuditEvent
    public var time: Timestamp
    /// The name of the host in the line: `host`, else the journal's `_HOSTNAME`.
    public var host: String?
}

extension LoggedEvent {
    /// Thirty years: a window is seconds, or the time of a quarantine.
    private static let windowSecondsMax: Int64 = 1_000_000_000

    /// `nil` if the line isn't an audit event, or has one of its keys twice: readers would take the one or the other.
    public init?(line: [UInt8]) {
        guard let fields = Fields(line), let kind = fields.text(.event).flatMap(AuditEvent.Kind.init(rawValue:)),
            let time = fields.time
        else { return nil }
        var event = AuditEvent(kind, detail: fields.text(.detail))
        event.client = fields.text(.client).flatMap { IPAddress($0) }
        event.port = fields.number(.port).flatMap(UInt16.init(exactly:))
        event.transport = fields.text(.transport).flatMap { Transport(name: $0) }
        event.over = fields.text(.over).flatMap { Transport(name: $0) }
        event.program = fields.number(.program).flatMap(UInt32.init(exactly:)).map { Program($0) }
        event.programName = fields.text(.programName)
        event.procedure = fields.text(.procedure)
        event.reason = fields.text(.reason).flatMap(DenialReason.init(rawValue:))
        event.rule = fields.text(.rule)
        event.host = fields.text(.host)
        event.server = fields.text(.server)
        event.granted = fields.text(.granted).flatMap(ServicePort.init(logged:))
        event.count = fields.number(.count).map { Int($0) }
        event.window = fields.number(.window).flatMap { $0 <= Self.windowSecondsMax ? .seconds($0) : nil }
        event.isEnforced = fields.text(.enforced) != "false"
        self.event = event
        self.time = time
        host = event.host ?? fields.hostOfJournal
    }

    /// The event at the end of a line that is none: the daemon had died within a line, and the next one, of its
    /// successor, follows without a line's end. No text of a peer begins so, since its quotes are escaped.
    public init?(behindTornLine line: [UInt8]) {
        let start = Array("{\"ts\":".utf8)
        guard let place = line.indices.dropFirst().last(where: { line[$0...].starts(with: start) }) else { return nil }
        self.init(line: Array(line[place...]))
    }
}

/// Where the keys of rpcwarden-audit(5) are in a line.
private struct Fields {
    enum Key: Int, CaseIterable {
        case ts, event, client, port, transport, program, programName, procedure, over, reason, rule, server, host
        case granted, count, window, detail, enforced

        var name: StaticString {
            switch self {
            case .ts: "ts"
            case .event: "event"
            case .client: "client"
            case .port: "port"
            case .transport: "transport"
            case .program: "program"
            case .programName: "program_name"
            case .procedure: "procedure"
            case .over: "over"
            case .reason: "reason"
            case .rule: "rule"
            case .server: "server"
            case .host: "host"
            case .granted: "granted"
            case .count: "count"
            case .window: "window"
            case .detail: "detail"
            case .enforced: "enforced"
            }
        }
    }

    private struct Found {
        var values = [FlatObject.Value?](repeating: nil, count: Key.allCases.count)
        var hasDuplicate = false

        mutating func note(_ key: Key, _ value: FlatObject.Value) {
            hasDuplicate = hasDuplicate || values[key.rawValue] != nil
            values[key.rawValue] = value
        }
    }

    private let line: [UInt8]
    private var values: [FlatObject.Value?] = []
    private var isOfJournal = false
    private var journalTime: FlatObject.Value?
    private var journalHost: FlatObject.Value?

    init?(_ line: [UInt8]) {
        self.line = line
        var plain = Found()
        var journal = Found()
        var (time, host): (FlatObject.Value?, FlatObject.Value?)
        do throws(JSONError) {
            try FlatObject.forEachMember(of: line) { name, value in
                if name.isText("__REALTIME_TIMESTAMP", capital: false) {
                    time = value
                } else if name.isText("_HOSTNAME", capital: false) {
                    host = value
                } else if name.starts(with: Self.prefix) {
                    if let key = Self.key(name.dropFirst(Self.prefix.count), capital: true) { journal.note(key, value) }
                } else if let key = Self.key(name, capital: false) {
                    plain.note(key, value)
                }
            }
        } catch {
            return nil
        }
        isOfJournal = journal.values[Key.event.rawValue] != nil
        let found = isOfJournal ? journal : plain
        guard !found.hasDuplicate else { return nil }
        (values, journalTime, journalHost) = (found.values, time, host)
    }

    private static let prefix = Array("RPCWARDEN_".utf8)

    private static func key(_ name: ArraySlice<UInt8>, capital: Bool) -> Key? {
        guard name.count < keysByLength.count else { return nil }
        return keysByLength[name.count].first { name.isText($0.name, capital: capital) }
    }

    private static let keysByLength: [[Key]] = (0...16).map { length in
        Key.allCases.filter { $0.name.utf8CodeUnitCount == length }
    }

    func text(_ key: Key) -> String? { values[key.rawValue].flatMap(text) }

    private func text(_ value: FlatObject.Value) -> String? {
        value.utf8(in: line).map { String(decoding: $0, as: UTF8.self) }
    }

    /// A number may be text: the journal has no other type.
    func number(_ key: Key) -> Int64? {
        values[key.rawValue]?.utf8(in: line).flatMap { Int64(decimal: $0) }
    }

    /// Any process may write fields to the journal, but not those that begin with an underscore.
    var time: Timestamp? {
        guard isOfJournal else { return values[Key.ts.rawValue]?.utf8(in: line).flatMap(Timestamp.init(logged:)) }
        // Microseconds since 1970.
        return journalTime?.utf8(in: line).flatMap { Int64(decimal: $0) }.flatMap { microseconds in
            microseconds <= Timestamp.last.milliseconds * 1000 ? Timestamp(milliseconds: microseconds / 1000) : nil
        }
    }

    var hostOfJournal: String? { isOfJournal ? journalHost.flatMap(text) : nil }
}

extension ArraySlice<UInt8> {
    fileprivate func isText(_ text: StaticString, capital: Bool) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        return text.withUTF8Buffer { expected in
            var place = startIndex
            for byte in expected {
                let isLetter = byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z")
                guard self[place] == (capital && isLetter ? byte - 0x20 : byte) else { return false }
                place += 1
            }
            return true
        }
    }
}

extension Timestamp {
    /// 9999-12-31T23:59:59Z, the last one that can be written.
    static let last = Timestamp(milliseconds: 253_402_300_799_000)

    /// The time in the audit log's format: RFC 3339 in UTC, with or without a fraction of a second.
    public init?(logged text: ArraySlice<UInt8>) {
        guard text.count >= Self.bytes, text.last == UInt8(ascii: "Z"),
            let seconds = Timestamp(bytes: (text.prefix(Self.bytes - 1) + [UInt8(ascii: "Z")])[...])
        else { return nil }
        let fraction = text.dropFirst(Self.bytes - 1).dropLast()
        guard !fraction.isEmpty else {
            self = seconds
            return
        }
        guard fraction.first == UInt8(ascii: "."), let digits = Int64(decimal: fraction.dropFirst()) else { return nil }
        let count = fraction.count - 1
        let milliseconds = (0..<3).reduce(into: digits) { value, place in
            if place >= count { value *= 10 }
        }
        let divisor = (3..<max(3, count)).reduce(into: Int64(1)) { value, _ in value *= 10 }
        self = Timestamp(milliseconds: seconds.milliseconds + milliseconds / divisor)
    }
}

extension ServicePort {
    /// `tcp/2049`.
    init?(logged text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let transport = Transport(name: parts[0]), let port = UInt16(parts[1]) else {
            return nil
        }
        self.init(transport, port)
    }
}
