import Addresses
import ArgumentParser
import Configuration
import Console
import Control
import Daemon
import Firewall
import Glibc
import HostPosture
import HostSurvey
import PolicyFile
import Reports

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check this host's rpcbind, firewall and kernel, and print how to correct each finding.",
        discussion: """
            Changes nothing. Run it as root: other users can't see which process holds a socket. Exits 1 if there are \
            findings; notes alone exit 0.
            """)

    @OptionGroup var configuration: ConfigurationOption
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: RootOption

    func run() throws {
        if place.root == nil, geteuid() != 0 {
            writeError("rpcwarden: uid \(geteuid()) can't see which processes hold sockets; run doctor as root")
        }
        let findings = Examination(try Self.facts(configuration, at: place.root)).findings
        if json.isOn { try printJSON(findings) } else { Display.show(findings.lines(columns: Display.size()?.columns)) }
        if findings.contains(where: { $0.severity != .note }) {
            throw CommandFailure(message: nil, code: ExitStatus.denied)
        }
    }

    /// - Parameter root: the folder of an image; `nil`: this host.
    static func facts(_ configuration: ConfigurationOption, at root: String?) throws -> HostFacts {
        var facts = try RootOption.survey(root, configuration).facts()
        let image = facts.isRunning ? nil : facts.root + PolicyLoader.configurationPath
        facts.configurationPath = configuration.path ?? image
        facts.configurationErrors = errors(facts)
        if facts.isRunning { facts.kernel.ownsTables = kernelOwnsTables() }
        if facts.gateway != nil { facts.gateway?.servers = servers(configuration) }
        return facts
    }

    /// The errors with which the daemon wouldn't start; none on a host without a file of rpcwarden's.
    private static func errors(_ facts: HostFacts) -> [String] {
        let loader = PolicyLoader(ownAddresses: facts.isRunning ? ownAddresses() : [], after: lastBundle())
        let path = facts.configurationPath
        // Absolute paths of an image's configuration lead to this host's files.
        let load = facts.isRunning ? loader.load(configurationPath: path) : loader.loadSettings(configurationPath: path)
        guard !load.filesRead.isEmpty else { return [] }
        // Other users may not read every file, and the daemon takes the fleet's last policy in place of a refused one.
        if load.hasUnreadableFile && geteuid() != 0 || load.bundleRefusal != nil && load.lastBundle != nil { return [] }
        return load.diagnostics.filter { $0.severity == .error }.map(\.description)
    }

    /// The servers as a running daemon knows them; none if it can't be asked, which other findings tell of.
    private static func servers(_ configuration: ConfigurationOption) -> [GatewayFacts.Server] {
        do {
            let path = try configuration.settings().controlPath
            let reply = try ControlClient(path: path, patience: .seconds(2)).ask(ControlCall(.status))
            return (reply.status?.servers ?? []).map {
                GatewayFacts.Server($0.name, rpcbind: $0.rpcbind, since: $0.since)
            }
        } catch {
            return []
        }
    }
}

struct RootOption: ParsableArguments {
    @Option(
        name: .customLong("root"),
        help: ArgumentHelp("Work on the image below this folder, not on the running host.", valueName: "dir"),
        completion: .directory)
    var root: String?

    /// - Throws: a usage failure if the folder doesn't exist.
    func survey(_ configuration: ConfigurationOption) throws -> HostSurvey {
        try Self.survey(root, configuration)
    }

    static func survey(_ folder: String?, _ configuration: ConfigurationOption) throws -> HostSurvey {
        if folder == "" { throw CommandFailure.usage("--root is empty; give the folder of an image, or leave it out") }
        let root = HostRoot(folder ?? "/")
        let isImage = !root.path.isEmpty
        if isImage, !root.isFolder {
            throw CommandFailure.usage(
                "not a folder: \(folder ?? ""); give the folder that contains the image's root file system")
        }
        let path = configuration.path ?? (isImage ? root.path + PolicyLoader.configurationPath : nil)
        // An error in the policy must not prevent the survey.
        if configuration.path != nil { _ = try configuration.settings() }
        let settings = PolicyLoader().settings(configurationPath: path)
        var expected = Expectations(settings)
        let load = PolicyLoader().loadSettings(configurationPath: path)
        // The policy is read for a gateway alone: it may be long.
        if let gateway = load.settings.gateway, !load.hasErrors {
            expected.gateway = GatewayExpectations(gateway)
            let whole = PolicyLoader().load(configurationPath: path)
            expected.gateway?.servesThisHost = whole.hasErrors || whole.rules.contains { $0.at.covers(nil) }
        }
        return HostSurvey(root: root, isRunning: !isImage, expected: expected)
    }
}

extension Expectations {
    fileprivate init(_ settings: Settings) {
        self.init()
        rpcbindSocket = settings.rpcbind.socketPath
        trustedOwners = Owners.trusted(settings.rpcbind)
        mark = settings.firewall.mark
        flowMarks = [settings.firewall.flowMark, settings.firewall.ownFlowMark]
        table = settings.firewall.table
        guardPorts = Set(
            settings.firewall.guardPorts.flatMap { range in range.ports.map { ServicePort(range.transport, $0) } })
        neverPorts = Set(settings.firewall.never)
        isObserving = settings.mode == .observe
    }
}

extension GatewayExpectations {
    fileprivate init(_ gateway: Settings.Gateway) {
        self.init(gateway.servers.map { Server($0.name, $0.addresses + $0.aliases) }, gateway.routingPlan)
        managesRouting = gateway.routing == .manage
    }
}
