import Activity
import Addresses
import ArgumentParser
import Clock
import Console
import Control
import Daemon
import FoundationEssentials
import PolicyFile
import System

/// Calls the daemon that the configuration names.
func askDaemon(_ call: ControlCall, _ configuration: ConfigurationOption) throws -> ControlReply {
    let path = try configuration.settings().controlPath
    do {
        let reply = try ControlClient(path: path).ask(call)
        if let failure = reply.failure { throw CommandFailure.usage(failure) }
        return reply
    } catch let error as ControlError {
        // The daemon may know servers that the file names no more, so it is asked first.
        if let refusal = call.server.flatMap(configuration.refusal) { throw CommandFailure.usage(refusal) }
        throw CommandFailure(message: error.description, code: ExitStatus.unreachable)
    }
}

func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    print(String(decoding: try encoder.encode(value), as: UTF8.self))
}

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell the mode, what is wrong, what is in force, and counts.")

    @OptionGroup var configuration: ConfigurationOption
    @OptionGroup var json: JSONFlag

    @Flag(help: "Print every counter too, and each server behind this gateway.")
    var verbose = false

    func run() throws {
        guard let status = try askDaemon(ControlCall(.status), configuration).status else { return }
        if json.isOn { return try printJSON(status) }
        let began = HostClock.wallClock() + .seconds(-(status.modeAge ?? status.uptime))
        for sentence in status.sentences(since: "\(began)") {
            let words = sentence.split(separator: " ", maxSplits: 1)
            let isWrong = words.count == 2 && words[0] == "WRONG:"
            Display.show(isWrong ? Paragraph(words[0], .alarm) + Paragraph(words[1]) : Paragraph(sentence))
        }
        if verbose { print("\n" + Table(status.figures).text) }
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
        Table(heading: ["CLIENT"] + (hasServers ? ["SERVER"] : []) + heading, rows).show()
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
        Table(heading: (hasServers ? ["SERVER"] : []) + heading, lines).show()
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
        guard port != 0 else { throw CommandFailure.usage("--port: 0 is no port; give 1 to 65535") }
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
                throw CommandFailure.usage(
                    "not a duration: \"\(since)\"; give a number and a unit, as in 90s, 15m, 1h, 7d")
            }
            seconds = Int(duration.components.seconds)
        }
        let rows = try askDaemon(ControlCall(.denials, since: seconds), configuration).denials ?? []
        if json.isOn { return try printJSON(rows) }
        let names = PolicyLoader().programNames
        let lines = rows.map { row in
            [
                row.client, String(row.count), row.first, row.last, row.quarantined ? "yes" : "no",
                row.reasons.joined(separator: " "),
                row.programs.isEmpty
                    ? "-" : row.programs.map { names.name(of: Program($0)) ?? "\($0)" }.joined(separator: " "),
            ]
        }
        Table(heading: ["CLIENT", "CALLS", "FIRST", "LAST", "QUARANTINED", "REASONS", "PROGRAMS"], lines).show()
    }
}

struct Release: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lift a client's quarantine now.")

    @OptionGroup var configuration: ConfigurationOption

    @Option(help: ArgumentHelp("The client's IPv4 or IPv6 address.", valueName: "addr"))
    var client: String

    func run() throws {
        let changes = try askDaemon(ControlCall(.release, client: client), configuration).changes ?? []
        print(changes.joined(separator: "\n"))
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
            let table = try configuration.settings().firewall.table
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
