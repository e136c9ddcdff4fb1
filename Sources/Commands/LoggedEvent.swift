import Addresses
import AuditTrail
import Clock
import FoundationEssentials
import Policy

/// A line of the audit log, parsed: one of rpcwarden's JSON lines, or a line of `journalctl -o json`.
struct LoggedEvent: Decodable {
    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(_ text: String) { stringValue = text }
        init?(stringValue: String) { self.init(stringValue) }
        init?(intValue: Int) { return nil }
    }

    /// A number may be text: the journal has no other type.
    private struct Value: Decodable {
        var text: String?

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            do {
                text = try container.decode(String.self)
            } catch {
                do {
                    text = String(try container.decode(Int64.self))
                } catch {
                    do {
                        text = try container.decode(Bool.self) ? "true" : "false"
                    } catch {
                        text = nil
                    }
                }
            }
        }
    }

    let event: AuditEvent
    let time: Timestamp

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let prefix = container.contains(Key("RPCWARDEN_EVENT")) ? "RPCWARDEN_" : ""
        let text = { (key: String) in
            try container.decodeIfPresent(Value.self, forKey: Key(prefix.isEmpty ? key : prefix + key.uppercased()))?
                .text
        }
        let time =
            prefix.isEmpty
            ? try text("ts").flatMap(Timestamp.init(logged:))
            : try container.decodeIfPresent(Value.self, forKey: Key("__REALTIME_TIMESTAMP"))?.text
                .flatMap(Timestamp.init(journal:))
        guard let time, let kind = try text("event").flatMap(AuditEvent.Kind.init(rawValue:)) else {
            throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "no event"))
        }
        var event = AuditEvent(kind, detail: try text("detail"))
        event.client = try text("client").flatMap { IPAddress($0) }
        event.transport = try text("transport").flatMap { Transport(name: $0) }
        event.over = try text("over").flatMap { Transport(name: $0) }
        event.program = try text("program").flatMap { UInt32($0) }.map { Program($0) }
        event.procedure = try text("procedure")
        event.reason = try text("reason").flatMap(DenialReason.init(rawValue:))
        event.rule = try text("rule")
        event.host = try text("host")
        event.server = try text("server")
        event.count = try text("count").flatMap { Int($0) }
        event.isEnforced = try text("enforced") != "false"
        self.event = event
        self.time = time
    }
}

extension Timestamp {
    /// The time in the audit log's format, with or without milliseconds, which are dropped.
    init?(logged text: String) {
        self.init(text.prefix(19) + "Z")
    }

    /// Microseconds since 1970.
    fileprivate init?(journal text: String) {
        guard let microseconds = Int64(text), microseconds >= 0 else { return nil }
        self.init(milliseconds: microseconds / 1_000_000 * 1000)
    }
}
