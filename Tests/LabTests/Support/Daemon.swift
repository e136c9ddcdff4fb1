import Foundation
import Testing

extension Lab {
    /// Starts the daemon and waits until it reports that it is ready.
    ///
    /// - Parameter settings: additional top-level settings of rpcwarden.yaml.
    func serve(
        _ settings: String = "", policy: String = Policies.standard, through wrapper: [String] = [],
        awaitsReadiness: Bool = true
    ) async throws {
        try configure(settings, policy: policy)
        let before = try events(.started).count
        try spawn(.server, "daemon", wrapper + [binary, "serve", "--config", configuration])
        guard awaitsReadiness else { return }
        do {
            try await eventually("the daemon is ready") {
                guard try isRunning("daemon") else { throw Unfulfilled(description: "the daemon has ended") }
                return try events(.started).count > before
            }
        } catch {
            throw Unfulfilled(description: "\(error)\n\(log("daemon"))")
        }
    }

    func configure(_ settings: String = "", policy: String) throws {
        try write(policy + "\n", to: "policy.yaml")
        try write(
            """
            policy: policy.yaml
            audit: {to: file, file: \(state)/audit.jsonl}
            \(settings)

            """, to: "rpcwarden.yaml")
    }

    var configuration: String { "\(state)/rpcwarden.yaml" }

    /// Ends the daemon, and starts it again with the same settings.
    func restartDaemon(_ signal: String = "TERM") async throws {
        let before = try events(.started).count
        if try isRunning("daemon") { try kill("daemon", signal) }
        try spawn(.server, "daemon", [binary, "serve", "--config", configuration])
        try await eventually("the daemon is ready again") { try events(.started).count > before }
    }

    // MARK: Commands

    func rpcwarden(_ words: String..., on host: Host = .server) throws -> Output {
        try exec(host, [binary] + words + ["--config", configuration])
    }

    /// The JSON output of a listing command.
    func listing<Row: Decodable>(_ command: String, as type: Row.Type) throws -> Row {
        let output = try rpcwarden(command, "--json")
        guard output.isSuccess else { throw CommandError(command: [command], output: output) }
        return try JSONDecoder().decode(type, from: Data(output.text.utf8))
    }

    func grants() throws -> [GrantRow] { try listing("grants", as: [GrantRow].self) }

    func registry() throws -> [RegistryRow] { try listing("registry", as: [RegistryRow].self) }

    // MARK: The audit log

    /// The events so far, oldest first. A line that is still being written is left for a later call.
    func events(_ kind: AuditRecord.Kind? = nil) throws -> [AuditRecord] {
        guard let data = FileManager.default.contents(atPath: "\(state)/audit.jsonl") else { return [] }
        let decoder = JSONDecoder()
        return try data.prefix(upTo: data.lastIndex(of: 0x0a) ?? data.startIndex).split(separator: 0x0a)
            .map { try decoder.decode(AuditRecord.self, from: Data($0)) }
            .filter { kind == nil || $0.event == kind }
    }

    /// Waits for an event. Events are written in the order in which they happen, but not before the reply leaves.
    @discardableResult
    func event(
        _ kind: AuditRecord.Kind, within limit: Duration = .seconds(30),
        _ matches: (AuditRecord) -> Bool = { _ in true }
    ) async throws -> AuditRecord {
        do {
            return try await eventually("audit event \(kind.rawValue)", within: limit) {
                try events(kind).first(where: matches)
            }
        } catch let error as Unfulfilled {
            let tail = try events().suffix(20).map { "\($0)" }.joined(separator: "\n")
            throw Unfulfilled(description: "\(error)\n\(tail)\n\(log("daemon"))")
        }
    }

    // MARK: The kernel's table

    func nft(_ words: String) throws -> Output {
        try exec(.server, ["nft"] + words.split(separator: " ").map(String.init))
    }

    /// The elements of one of rpcwarden's sets, as nft prints them.
    func elements(of set: String) throws -> [String] {
        let output = try nft("list set inet rpcwarden \(set)")
        guard output.isSuccess else { throw CommandError(command: ["nft list set", set], output: output) }
        guard let start = output.text.range(of: "elements = {") else { return [] }
        let end = output.text[start.upperBound...].firstIndex(of: "}") ?? output.text.endIndex
        return output.text[start.upperBound..<end].split(separator: ",")
            .map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
    }
}

/// A row of `grants --json`. All keys are present; a value may be null.
struct GrantRow: Decodable, Equatable {
    var client: String
    var transport: String
    var port: UInt16
    var program: UInt32?
    var program_name: String?
    var rule: String?
    var issued: String?
    var expires: String
    var packets: Int
    var server: String?

    var service: String { "\(transport)/\(port)" }
}

/// A row of `registry --json`.
struct RegistryRow: Decodable, Equatable {
    var program: UInt32
    var program_name: String?
    var version: UInt32
    var netid: String
    var address: String
    var owner: String
    var trusted: Bool
    var alive: Bool
    var guarded: Bool
    var orphaned: Bool
    var guardable: Bool
}

/// The output of `status --json`.
struct StatusReport: Decodable {
    struct Rpcbind: Decodable {
        var reachable: Bool
        var needed: Bool?
    }

    struct Table: Decodable { var intact: Bool }
    struct Fleet: Decodable {
        var node: String?
        var connected: Bool?
        var foreign_grants: Int?
        var waiting_grants: Int?
        var foreign_quarantines: Int?
        var queue: Int?
        var group: String?
        var serial: Int?
        var expired: Bool?
    }

    var mode: String
    var uptime: Int
    var version: String
    var rpcbind: Rpcbind
    var table: Table
    var counts: [String: Int]
    var fleet: Fleet?
}

/// A record of the audit log, rpcwarden-audit(5).
struct AuditRecord: Decodable {
    enum Kind: String, Decodable {
        case permitted, denied, malformed, granted, renewed, expired, revoked, enumeration, quarantined, released
        case probed, registered, unregistered
        case untrustedRegistration = "untrusted-registration"
        case staleRegistration = "stale-registration"
        case tampered, restored
        case rpcbindDown = "rpcbind-down"
        case rpcbindUp = "rpcbind-up"
        case reloaded
        case reloadRefused = "reload-refused"
        case started, stopped, suppressed, shielded, orphaned, unguardable
        case policyAccepted = "policy-accepted"
        case policyRefused = "policy-refused"
        case policyExpired = "policy-expired"
        case fleetConnected = "fleet-connected"
        case fleetLost = "fleet-lost"
    }

    var ts: String
    var event: Kind
    var client: String?
    var port: UInt16?
    var transport: String?
    var program: UInt32?
    var program_name: String?
    var version: UInt32?
    var procedure: String?
    var decision: String?
    var reason: String?
    var rule: String?
    var xid: UInt32?
    var granted: String?
    var enforced: Bool?
    var count: Int?
    var detail: String?
    var server: String?
}
