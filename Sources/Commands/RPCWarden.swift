import Addresses
import ArgumentParser
import Configuration
import Console
import Control
import Daemon
import Glibc
import PolicyFile
import Portmapper
import System

@main
struct RPCWarden: SubcommandGroup {
    static let configuration = CommandConfiguration(
        commandName: "rpcwarden",
        abstract: "A firewall-aware RPC access proxy: owns port 111 in front of rpcbind.",
        discussion: """
            Answers each client only what policy allows, forwards what is permitted to the real rpcbind, and opens in \
            nftables just the port that was resolved, for just the client that asked.
            """,
        version: Version.text,
        subcommands: [
            Serve.self, Check.self, Explain.self, Status.self, Grants.self, Registry.self, Denials.self,
            Revoke.self, Release.self, Reload.self, Stop.self, Doctor.self, Setup.self, ImportExports.self,
            Learn.self, AuditReport.self, Top.self, Probe.self, Guard.self, PolicyBundles.self, Fleet.self,
        ])

    /// Like ``ParsableCommand/main()``, with the exit codes of rpcwarden(8).
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
            try finishOutput()
        } catch let failure as CommandFailure {
            failure.exit(as: "rpcwarden")
        } catch {
            let isSuccess = exitCode(for: error) == .success
            if !isSuccess, Probe.isPlugin(CommandLine.arguments) {
                Probe.unknown(message(for: error)).exit(as: "rpcwarden")
            }
            if !isSuccess, let failure = unknownCommand(in: CommandLine.arguments.dropFirst()) {
                failure.exit(as: "rpcwarden")
            }
            Console.exit(as: "rpcwarden", fullMessage(for: error), isSuccess: isSuccess)
        }
    }
}

extension SubcommandGroup {
    static var root: any ParsableCommand.Type { RPCWarden.self }
}

struct ConfigurationOption: ParsableArguments {
    @Option(
        name: .customLong("config"),
        help: ArgumentHelp(
            "The configuration file (default: /etc/rpcwarden/rpcwarden.yaml, which may be missing).", valueName: "file"),
        completion: .file(extensions: ["yaml"])
    )
    var path: String?

    func settings() throws -> Settings { try Self.settings(of: path) }

    /// Why the configuration has no server of that name; `nil` if it has one, or can't be read.
    func refusal(ofServer name: String) -> String? {
        let load = PolicyLoader().loadSettings(configurationPath: path)
        return load.hasErrors ? nil : load.settings.refusal(ofServer: name)
    }

    /// The settings as far as they can be read: an error elsewhere must keep no command from the daemon.
    ///
    /// - Throws: a usage failure if a named file can't be read.
    static func settings(of path: String?) throws -> Settings {
        let loader = PolicyLoader()
        if let path {
            let load = loader.loadSettings(configurationPath: path)
            if !load.filesRead.contains(path) { try load.diagnostics.report() }
        }
        return loader.settings(configurationPath: path)
    }
}

/// The path of this program, links resolved; `nil` if /proc doesn't show it.
var ownProgram: String? { resolvedPath("/proc/self/exe") }

extension CompletionKind {
    static var transport: Self { .list(Transport.allCases.map(\.description)) }
}

extension Sequence<Diagnostic> {
    /// Prints the problems to standard error.
    ///
    /// - Throws: a usage failure without another message, if one is an error.
    func report() throws {
        for diagnostic in self { writeError(diagnostic.description) }
        if hasErrors { throw CommandFailure(message: nil, code: ExitStatus.usage) }
    }
}

struct JSONFlag: ParsableArguments {
    @Flag(name: .customLong("json"), help: "Print one JSON document.")
    var isOn = false
}
