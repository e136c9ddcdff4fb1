import AuditTrail

/// An entry of the journal's native protocol: `KEY=value` lines (systemd.io/JOURNAL_NATIVE_PROTOCOL).
struct JournalEntry {
    private(set) var bytes: [UInt8] = []

    init(_ event: AuditEvent, _ fields: [AuditField]) {
        add("MESSAGE", event.plainWords)
        add("MESSAGE_ID", event.kind.messageID)
        add("PRIORITY", String(Self.priority(of: event.kind)))
        add("SYSLOG_IDENTIFIER", "rpcwarden")
        for field in fields where field.key != "ts" {
            add("RPCWARDEN_" + field.key.uppercased(), Self.text(field.value))
        }
    }

    private mutating func add(_ key: String, _ value: String) {
        bytes.append(contentsOf: key.utf8)
        bytes.append(UInt8(ascii: "="))
        // A newline would start another field, and journalctl prints what it gets.
        for scalar in value.loggedScalars {
            bytes.append(contentsOf: Self.isVisible(scalar) ? Array(scalar.utf8) : [UInt8(ascii: "?")])
        }
        bytes.append(UInt8(ascii: "\n"))
    }

    private static func isVisible(_ scalar: Unicode.Scalar) -> Bool {
        guard !scalar.isASCII else { return (" "..."~").contains(scalar) }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: return false
        case _: return !scalar.properties.isDefaultIgnorableCodePoint
        }
    }

    private static func text(_ value: AuditField.Value) -> String {
        switch value {
        case .text(let text): text
        case .number(let number): String(number)
        case .flag(let flag): flag ? "true" : "false"
        }
    }

    /// syslog's levels: 4 for events that an operator must see, then those that one should see or may see.
    private static func priority(of kind: AuditEvent.Kind) -> Int {
        switch kind {
        case .tampered, .rpcbindDown, .reloadRefused, .untrustedRegistration, .orphaned, .unguardable,
            .policyRefused, .policyExpired, .fleetLost:
            4
        case .denied, .malformed, .enumeration, .quarantined, .probed, .suppressed, .shielded, .staleRegistration,
            .restored:
            5
        case .permitted, .granted, .renewed, .expired, .revoked, .released, .registered, .unregistered, .rpcbindUp,
            .reloaded, .started, .stopped, .policyAccepted, .fleetConnected:
            6
        }
    }
}
