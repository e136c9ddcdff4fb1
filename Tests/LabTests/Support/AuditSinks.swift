import Foundation

/// Audit log destinations that a test can make fail, all in the server.
extension Lab {
    /// Starts the daemon with a custom `audit:` setting; ``events(_:)`` does not read its log.
    func serve(audit: String, policy: String, through wrapper: [String] = []) async throws {
        try configure(policy: policy)
        try write("policy: policy.yaml\naudit: \(audit)\n", to: "rpcwarden.yaml")
        try spawn(.server, "daemon", wrapper + [binary, "serve", "--config", configuration])
        try await eventually("the daemon answers") {
            let output = try rpcwarden("status")
            guard output.isSuccess else { return false }
            return try listing("status", as: StatusReport.self).rpcbind.reachable
        }
    }

    /// A journal socket that accepts entries until its buffer is full, and is read only after ``readJournal()``.
    func startJournal() async throws {
        let helper = Lab.path("scripts/lab.d/journal-socket.pl")
        guard try exec(.server, "mkdir", "-p", "/run/systemd/journal").isSuccess else { return }
        try spawn(.server, "journal", ["perl", helper, "/run/systemd/journal/socket", "\(state)/read-journal"])
        try await eventually("the journal's socket is there") { log("journal").contains("bound") }
    }

    func readJournal() throws { try write("", to: "read-journal") }

    private static func bytes(_ digits: [UInt8]) -> [UInt8] {
        stride(from: 0, to: digits.count - 1, by: 2).map { index in
            UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) ?? 0
        }
    }

    /// The entries so far, each as its lines.
    func journalEntries() -> [[String]] {
        // A line that is still being written is left for a later call.
        let whole = log("journal").split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        return whole.dropFirst().map { digits in
            String(decoding: Self.bytes(Array(digits.utf8)), as: UTF8.self).split(separator: "\n").map(String.init)
        }
    }
}

extension AuditRecord {
    /// Parses the complete lines of JSON.
    static func records(in text: String) throws -> [AuditRecord] {
        let whole = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        return try whole.map { try JSONDecoder().decode(AuditRecord.self, from: Data($0.utf8)) }
    }
}

/// The number of events of each kind, and the number of events that the `suppressed` ones stand for.
struct AuditSum: CustomStringConvertible {
    var written: [AuditRecord.Kind: Int] = [:]
    var suppressed = 0

    init(_ records: [AuditRecord]) {
        for record in records {
            if record.event == .suppressed {
                suppressed += record.count ?? 0
            } else {
                written[record.event, default: 0] += 1
            }
        }
    }

    var permitted: Int { written[.permitted, default: 0] }

    /// The number of lookups; only lookups happen while a destination fails.
    var lookups: Int { permitted + written[.granted, default: 0] + suppressed }
    var description: String { "\(written.map { "\($0.key.rawValue)=\($0.value)" }.sorted()) suppressed=\(suppressed)" }
}
