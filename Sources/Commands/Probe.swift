import Activity
import Addresses
import ArgumentParser
import Configuration
import Console
import Glibc
import HostNames
import Liveness
import Policy
import PolicyFile
import Probes

struct Probe: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a host for services as a client would, and tell what a client gets.",
        discussion: """
            Asks the host's portmapper where each program is, then calls the program there. Needs neither a daemon nor \
            a capability. Exits 0 if all is as expected, 1 if not, 3 if nothing answered.
            """)

    @OptionGroup var configuration: ConfigurationOption
    @OptionGroup var json: JSONFlag

    @Argument(
        help: ArgumentHelp(
            "A name, or an IPv4 or IPv6 address, which may have a zone: fe80::1%eth0.", valueName: "host"))
    var host: String?

    @Option(
        help: ArgumentHelp(
            "An RPC program, a name of /etc/rpc or a number; /version may follow. May be repeated.",
            valueName: "program"),
        completion: .custom { _, _, _ in PolicyLoader().programNames.allNames.sorted() })
    var program: [String] = []

    @Option(help: ArgumentHelp("The transport of the services.", valueName: "tcp|udp"), completion: .transport)
    var transport: String?

    @Option(help: ArgumentHelp("What this host is expected to get: open, denied or silent.", valueName: "verdict"))
    var expect: Expectation = .open

    @Option(help: ArgumentHelp("How long to wait for each reply, and for the host's name.", valueName: "duration"))
    var timeout: String = "3s"

    @Option(help: ArgumentHelp("The address of this host that asks.", valueName: "addr"))
    var from: String?

    @Option(help: ArgumentHelp("A server behind this gateway, instead of a host.", valueName: "name"))
    var server: String?

    @Flag(help: "Print one status line, and exit, as a Nagios plugin does.")
    var nagios = false

    enum Expectation: String, ExpressibleByArgument, CaseIterable {
        case open
        case denied
        case silent

        var value: ProbeExpectation {
            switch self {
            case .open: .open
            case .denied: .denied
            case .silent: .silent
            }
        }
    }

    func run() throws {
        do {
            try probe()
        } catch let failure as CommandFailure where nagios {
            // One without a message has told its result.
            guard let message = failure.message else { throw failure }
            throw Self.unknown(message)
        }
    }

    /// Whether the command line, be it wrong, is that of a Nagios plugin: its exit codes have other meanings.
    static func isPlugin(_ arguments: [String]) -> Bool {
        arguments.contains("probe") && arguments.contains("--nagios")
    }

    /// Prints the status line of a probe that couldn't be made.
    static func unknown(_ message: String) -> CommandFailure {
        print(DisplayText(ProbeReport.nagiosLine(unknown: message)))
        return CommandFailure(message: nil, code: NagiosStatus.unknown)
    }

    private func probe() throws {
        let names = PolicyLoader().programNames
        let subjects = ProbeSubject.all(try program.map { try Self.program($0, names) }, over: try transports())
        guard subjects.count <= Self.servicesMax else {
            throw CommandFailure.usage("too many services: \(subjects.count); name at most \(Self.servicesMax)")
        }
        let timeout = try patience()
        let target = try target(within: timeout)
        let answers: [HostProbe.Answer]
        do {
            answers = try HostProbe.run(target.host, subjects, timeout: timeout)
        } catch let failure as HostProbe.Failure {
            let source = target.host.source.map { " from \($0)" } ?? ""
            throw CommandFailure(
                message: "can't ask \(DisplayText(target.address))\(source): \(failure.reason)",
                code: ExitStatus.unreachable)
        }
        let rows = answers.map {
            ProbeRow(
                $0.subject, programName: names.name(of: $0.subject.program), address: target.address, $0.finding,
                time: $0.time)
        }
        try tell(ProbeReport(rows, expecting: expect.value), of: target)
    }

    /// Bounds the time that all take.
    private static let servicesMax = 256

    // MARK: What is asked

    private static func program(_ text: String, _ names: ProgramNames) throws -> (program: Program, version: UInt32?) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let program = try programNumber(String(parts[0]), names)
        guard parts.count == 2 else { return (program, nil) }
        guard let version = UInt32(parts[1]) else {
            throw CommandFailure.usage("not a version: \"\(parts[1])\"; give a number, as in nfs/4")
        }
        return (program, version)
    }

    private func transports() throws -> [Transport] {
        guard let transport else { return expect.value.transports }
        guard let known = Transport(name: transport) else {
            throw CommandFailure.usage("not a transport: \"\(transport)\"; use tcp or udp")
        }
        return [known]
    }

    private func patience() throws -> Duration {
        let range: ClosedRange<Duration> = .milliseconds(10) ... .seconds(60)
        guard let timeout = Duration(configurationText: timeout), range.contains(timeout) else {
            throw CommandFailure.usage("not a timeout: \"\(timeout)\"; give 10ms to 60s, as in 500ms, 3s")
        }
        return timeout
    }

    // MARK: Who is asked

    /// The host, by its name and by the text of its address.
    private struct Target {
        var host: HostProbe.Host
        var name: String
        var address: String

        init(_ host: HostProbe.Host, name: String, address: String) {
            (self.host, self.name, self.address) = (host, name, address)
        }

        /// Where this gateway asks the server's portmapper.
        init(_ server: Settings.Server) {
            let place = server.portmapper
            self.init(
                HostProbe.Host(place.address, port: place.port, source: server.rpcbind.source), name: server.name,
                address: "\(place.address)")
        }
    }

    private func target(within limit: Duration) throws -> Target {
        var target: Target
        let server = try self.server.map(server(named:))
        switch (host, server) {
        case (let host?, nil): target = try Self.target(named: host, within: limit)
        case (nil, let server?): target = Target(server)
        case (let host?, let server?):
            target = try Self.target(named: host, within: limit)
            guard (server.addresses + server.aliases).contains(target.host.address) else {
                throw CommandFailure.usage("\(target.address) is no address of the server \(server.name)")
            }
        case (nil, nil): throw CommandFailure.usage("no host; name one, as in rpcwarden probe filer1")
        }
        if let from {
            guard let source = IPAddress(from) else {
                throw CommandFailure.usage("--from: not an address: \"\(from)\"; give an address of this host")
            }
            guard source.isIPv4 == target.host.address.isIPv4 else {
                throw CommandFailure.usage("--from: \(source) is of another family than \(target.address)")
            }
            target.host.source = source
        }
        return target
    }

    private func server(named name: String) throws -> Settings.Server {
        let load = PolicyLoader().loadSettings(configurationPath: configuration.path)
        guard !load.hasErrors else {
            for diagnostic in load.diagnostics { writeError(diagnostic.description) }
            throw CommandFailure.usage("the configuration has errors")
        }
        guard let server = load.settings.gateway?.servers.first(where: { $0.name == name }) else {
            throw CommandFailure.usage(load.settings.refusal(ofServer: name) ?? "no server: \"\(name)\"")
        }
        return server
    }

    /// - Parameter limit: bounds the resolution of a name.
    private static func target(named name: String, within limit: Duration) throws -> Target {
        let parts = name.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        if let address = IPAddress(parts[0]) {
            let zone = parts.count == 2 ? try self.zone(String(parts[1]), of: address) : 0
            return Target(HostProbe.Host(address, zone: zone), name: name, address: name)
        }
        let addresses: [IPAddress]
        let answers = HostNames.answers(for: [name], within: limit) { name in
            Result { () throws(HostNames.Failure) in try HostNames.search(for: name) }
        }
        switch answers[name] {
        case .success(let all)?: addresses = all.known
        case .failure(let failure)?:
            throw CommandFailure.usage("\(DisplayText(failure.description)); give a name or an address")
        case nil:
            throw CommandFailure(
                message: "\(DisplayText(name)) could not be resolved within \(text(of: limit)); give an address, "
                    + "or a longer --timeout", code: ExitStatus.unreachable)
        }
        guard let address = addresses.first else {
            throw CommandFailure.usage("\"\(DisplayText(name))\" has no IPv4 or IPv6 address")
        }
        if addresses.count > 1 {
            writeError("rpcwarden: \(name) has \(addresses.count) addresses; \(address) is asked")
        }
        return Target(HostProbe.Host(address), name: name, address: "\(address)")
    }

    private static func text(of limit: Duration) -> String {
        let (seconds, milliseconds) = (limit.components.seconds, limit / .milliseconds(1))
        return limit == .seconds(seconds) ? "\(seconds) s" : "\(Int(milliseconds)) ms"
    }

    private static func zone(_ name: String, of address: IPAddress) throws -> UInt32 {
        guard !address.isIPv4 else { throw CommandFailure.usage("an IPv4 address has no zone: \"\(address)%\(name)\"") }
        let index = UInt32(name) ?? if_nametoindex(name)
        guard index != 0 else { throw CommandFailure.usage("no interface: \"\(DisplayText(name))\"") }
        return index
    }

    // MARK: What is told

    private func tell(_ report: ProbeReport, of target: Target) throws {
        if nagios {
            print(DisplayText(report.nagiosLine(host: target.name)))
        } else if json.isOn {
            try printJSON(report.rows)
        } else {
            Self.table(report.rows).show()
        }
        switch report.outcome {
        case .asExpected: return
        case .unexpected:
            throw CommandFailure(message: nil, code: nagios ? NagiosStatus.critical : ExitStatus.denied)
        case .unanswered:
            if nagios { throw CommandFailure(message: nil, code: NagiosStatus.critical) }
            throw CommandFailure(
                message: "nobody answers at port \(target.host.port) of \(DisplayText(target.address))",
                code: ExitStatus.unreachable)
        }
    }

    private static func table(_ rows: [ProbeRow]) -> Table {
        let hasDetails = rows.contains { $0.finding.detail != nil }
        return Table(
            heading: ["PROGRAM", "VERSION", "TRANSPORT", "PORT", "VERDICT"] + (hasDetails ? ["DETAIL"] : []),
            rows.map { row in
                let (subject, finding) = (row.subject, row.finding)
                return [
                    row.programName ?? "\(subject.program)", "\(subject.version)", "\(subject.transport)",
                    finding.port.map(String.init) ?? "-", finding.verdict.rawValue,
                ] + (hasDetails ? [finding.detail ?? "-"] : [])
            })
    }
}

/// Exit codes of the Nagios plugin API. There is no warning: a service is as expected, or not.
private enum NagiosStatus {
    static let critical: Int32 = 2
    static let unknown: Int32 = 3
}

/// The program of a command's option.
func programNumber(_ text: String, _ names: ProgramNames) throws -> Program {
    let isHex = text.lowercased().hasPrefix("0x")
    if let number = UInt32(isHex ? String(text.dropFirst(2)) : text, radix: isHex ? 16 : 10) { return Program(number) }
    guard let program = names.program(named: text) else {
        throw CommandFailure.usage(names.refusal(of: text))
    }
    return program
}
