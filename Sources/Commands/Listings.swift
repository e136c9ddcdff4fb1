import ArgumentParser
import Control
import Daemon
import FoundationEssentials
import PolicyFile

/// Calls the daemon that the configuration names.
func askDaemon(_ call: ControlCall, _ configuration: ConfigurationOption) throws -> ControlReply {
    let path = PolicyLoader().settings(configurationPath: configuration.path).controlPath
    do {
        let reply = try ControlClient(path: path).ask(call)
        if let failure = reply.failure { throw CommandFailure(message: failure, code: ExitStatus.usage) }
        return reply
    } catch let error as ControlError {
        throw CommandFailure(message: error.description, code: ExitStatus.unreachable)
    }
}

func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    print(String(decoding: try encoder.encode(value), as: UTF8.self))
}

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show mode, uptime, rpcbind, the table, and counts.")

    @OptionGroup var configuration: ConfigurationOption
    @OptionGroup var json: JSONFlag

    func run() throws {
        guard let status = try askDaemon(ControlCall(.status), configuration).status else { return }
        if json.isOn { return try printJSON(status) }
        // A gateway may have no rpcbind of its own.
        let missing = status.servers == nil ? "DOWN" : "not reachable"
        let rpcbind = status.rpcbind.reachable ? "reachable" : missing
        var rows = [
            ["mode", status.mode], ["uptime", "\(status.uptime) s"], ["version", status.version],
            ["rpcbind", "\(rpcbind), \(status.rpcbind.registrations) registrations"],
            [
                "table",
                "inet \(status.table.name) \(status.table.intact ? "intact" : "NOT INTACT"), "
                    + "\(status.table.guarded) ports guarded",
            ],
            ["policy", "\(status.policy.path), \(status.policy.rules) rules"],
        ]
        if let fleet = status.fleet { rows.append(["fleet policy", Self.line(about: fleet)]) }
        rows += (status.servers ?? []).map { ["server \($0.name)", Self.line(about: $0)] }
        rows += status.counts.sorted { $0.key < $1.key }.map { [$0.key, String($0.value)] }
        print(Table(rows).text)
    }
}

extension Status {
    private static func line(about fleet: FleetReport) -> String {
        let end = fleet.notAfter.map { fleet.expired ? ", EXPIRED since \($0)" : ", right until \($0)" } ?? ""
        return "serial \(fleet.serial) of group \(fleet.group), created \(fleet.created)\(end)"
    }

    private static func line(about server: ServerReport) -> String {
        let portmapper =
            switch server.rpcbind {
            case "up": "reachable"
            case "stale": "DOWN, its last registry is in force"
            case "never": "DOWN, never read: port 111 and \"close\" alone are guarded"
            case _: "DOWN"
            }
        return "\(portmapper), \(server.registrations) registrations, \(server.guarded) ports guarded, "
            + "\(server.grants) grants" + (server.since.map { ", since \($0)" } ?? "")
    }
}

/// `--server`, for a host that is a gateway.
struct ServerOption: ParsableArguments {
    @Option(
        name: .customLong("server"), help: ArgumentHelp("Only this server behind the gateway.", valueName: "name"))
    var name: String?
}

struct Grants: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the live grants that the kernel holds.")

    @OptionGroup var configuration: ConfigurationOption
    @OptionGroup var json: JSONFlag
    @OptionGroup var server: ServerOption

    func run() throws {
        let grants = try askDaemon(ControlCall(.grants, server: server.name), configuration).grants ?? []
        if json.isOn { return try printJSON(grants) }
        let hasServers = grants.contains { $0.server != nil }
        let rows = grants.map { Self.row($0, hasServers: hasServers) }
        let heading = ["PORT", "PROGRAM", "ISSUED", "EXPIRES", "PACKETS", "RULE"]
        print(Table(heading: ["CLIENT"] + (hasServers ? ["SERVER"] : []) + heading, rows).text)
    }

    private static func row(_ grant: GrantRow, hasServers: Bool) -> [String] {
        var row = [grant.client]
        if hasServers { row.append(grant.server ?? "-") }
        return row + [
            "\(grant.transport)/\(grant.port)", grant.programName ?? grant.program.map(String.init) ?? "-",
            grant.issued ?? "-", grant.expires, String(grant.packets), grant.rule ?? "-",
        ]
    }
}

struct Registry: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List rpcbind's registrations, and whether each is trusted, alive and guarded.")

    @OptionGroup var configuration: ConfigurationOption
    @OptionGroup var json: JSONFlag
    @OptionGroup var server: ServerOption

    func run() throws {
        let rows = try askDaemon(ControlCall(.registry, server: server.name), configuration).registry ?? []
        if json.isOn { return try printJSON(rows) }
        let names = Dictionary(rows.map { ($0.program, $0.programName ?? "\($0.program)") }) { first, _ in first }
        let hasServers = rows.contains { $0.server != nil }
        let heading = ["PROGRAM", "VERSION", "NETID", "ADDRESS", "OWNER", "TRUSTED", "ALIVE", "GUARDED", "OPENS TOO"]
        let lines = rows.map { row in (hasServers ? [row.server ?? "-"] : []) + Self.columns(of: row, names) }
        print(Table(heading: (hasServers ? ["SERVER"] : []) + heading, lines).text)
    }

    private static func columns(of row: RegistryRow, _ names: [UInt32: String]) -> [String] {
        let program = row.programName.map { "\($0) (\(row.program))" } ?? String(row.program)
        return [
            program, String(row.version), row.netid, row.address, row.owner, row.trusted ? "yes" : "NO",
            row.alive ? "yes" : "no", guarded(row), others(row, names),
        ]
    }

    private static func guarded(_ row: RegistryRow) -> String {
        if !row.guardable { return "no: RDMA bypasses packet filters" }
        return (row.guarded ? "yes" : "no") + (row.orphaned ? ", orphaned" : "")
    }

    /// The other programs at the port, which are opened to the same clients.
    private static func others(_ row: RegistryRow, _ names: [UInt32: String]) -> String {
        guard let others = row.sharesPortWith, !others.isEmpty else { return "-" }
        return others.map { names[$0] ?? "\($0)" }.joined(separator: ", ")
    }
}

struct Revoke: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End grants of a client, and their established flows, now.")

    @OptionGroup var configuration: ConfigurationOption
    @OptionGroup var server: ServerOption

    @Option(help: ArgumentHelp("The client's IPv4 or IPv6 address.", valueName: "addr"))
    var client: String

    @Option(help: ArgumentHelp("Only the grants of this port.", valueName: "port"))
    var port: UInt16?

    @Option(help: ArgumentHelp("Only the grants of this transport.", valueName: "tcp|udp"), completion: .transport)
    var transport: String?

    func run() throws {
        let call = ControlCall(.revoke, client: client, port: port, transport: transport, server: server.name)
        let changes = try askDaemon(call, configuration).changes ?? []
        print(changes.isEmpty ? "no grant of \(client) matches" : changes.joined(separator: "\n"))
    }
}

struct Denials: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List denied sources and their calls since the daemon started, the latest first.",
        discussion: "The daemon keeps 8192 sources, preferably those with many denials.")

    @OptionGroup var configuration: ConfigurationOption
    @OptionGroup var json: JSONFlag

    @Option(
        help: ArgumentHelp(
            "Only sources with a denial within this time, as in 90s, 15m, 1h, 7d.", valueName: "duration"))
    var since: String?

    func run() throws {
        var seconds: Int?
        if let since {
            guard let duration = Duration(configurationText: since) else {
                throw CommandFailure(
                    message: "not a duration: \"\(since)\"; give a number and a unit, as in 90s, 15m, 1h, 7d",
                    code: ExitStatus.usage)
            }
            seconds = Int(duration.components.seconds)
        }
        let rows = try askDaemon(ControlCall(.denials, since: seconds), configuration).denials ?? []
        if json.isOn { return try printJSON(rows) }
        let lines = rows.map { row in
            [
                row.client, String(row.count), row.first, row.last, row.quarantined ? "yes" : "no",
                row.reasons.joined(separator: " "),
                row.programs.isEmpty ? "-" : row.programs.map(String.init).joined(separator: " "),
            ]
        }
        print(
            Table(heading: ["CLIENT", "CALLS", "FIRST", "LAST", "QUARANTINED", "REASONS", "PROGRAMS"], lines).text)
    }
}

struct Release: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lift a client's quarantine now.")

    @OptionGroup var configuration: ConfigurationOption

    @Option(help: ArgumentHelp("The client's IPv4 or IPv6 address.", valueName: "addr"))
    var client: String

    func run() throws {
        let changes = try askDaemon(ControlCall(.release, client: client), configuration).changes ?? []
        print(changes.isEmpty ? "\(client) is not quarantined" : changes.joined(separator: "\n"))
    }
}

struct Stop: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End the daemon; guard and grants stay, unless --open is given.",
        discussion: """
            Under systemd, stop rpcwarden.socket first: otherwise the next call starts the daemon again.
            """)

    @OptionGroup var configuration: ConfigurationOption

    @Flag(name: .customLong("open"), help: "Remove the firewall table too: every service port is open to everyone.")
    var opens = false

    func run() throws {
        do {
            print((try askDaemon(ControlCall(.stop, opens: opens), configuration).changes ?? []).joined())
        } catch var failure as CommandFailure where failure.code == ExitStatus.unreachable && opens {
            let table = PolicyLoader().settings(configurationPath: configuration.path).firewall.table
            failure.message =
                (failure.message ?? "") + "; without a daemon, `nft delete table inet \(table)` opens all ports"
            throw failure
        }
    }
}

struct Reload: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the daemon read policy and settings again, and print the changes.")

    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
        print((try askDaemon(ControlCall(.reload), configuration).changes ?? []).joined(separator: "\n"))
    }
}
