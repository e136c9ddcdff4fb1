import ArgumentParser
import Configuration
import Console
import Glibc
import PolicyFile
import Sidecar

@main
struct RPCWardenFleet: SubcommandGroup {
    static let configuration = CommandConfiguration(
        commandName: "rpcwarden-fleet",
        abstract: "The sidecar of rpcwarden: shares grants, quarantines and policy with other nodes, through etcd.",
        discussion: """
            The daemon of this host says which pair, group and limits it has (fleet: in rpcwarden.yaml); fleet.yaml says \
            how etcd is reached. Nothing that answers a client waits for either.
            """,
        version: Sidecar.version,
        subcommands: [
            ServeSidecar.self, CheckSidecar.self, Status.self, Nodes.self, Grants.self, Quarantines.self, Publish.self,
            Diff.self, Order.self,
        ])

    /// Like ``ParsableCommand/main()``, with the exit codes of rpcwarden-fleet(8).
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
            try finishOutput()
        } catch let failure as CommandFailure {
            failure.exit(as: "rpcwarden-fleet")
        } catch {
            let isSuccess = exitCode(for: error) == .success
            if !isSuccess, let failure = unknownCommand(in: CommandLine.arguments.dropFirst()) {
                failure.exit(as: "rpcwarden-fleet")
            }
            Console.exit(as: "rpcwarden-fleet", fullMessage(for: error), isSuccess: isSuccess)
        }
    }
}

extension SubcommandGroup {
    static var root: any ParsableCommand.Type { RPCWardenFleet.self }
}

struct ConfigurationOption: ParsableArguments {
    @Option(
        name: .customLong("config"),
        help: ArgumentHelp("The configuration file (default: /etc/rpcwarden/fleet.yaml).", valueName: "file"),
        completion: .file(extensions: ["yaml"]))
    var path: String?

    /// The settings; every problem is printed, and an error ends the command.
    func settings() throws -> (SidecarSettings, StoreAccess) {
        let parsed = ParsedSidecarConfiguration(path: path ?? ParsedSidecarConfiguration.path)
        for diagnostic in parsed.diagnostics { writeError(diagnostic.description) }
        guard !parsed.diagnostics.hasErrors else { throw CommandFailure(message: nil, code: ExitStatus.usage) }
        do throws(StoreAccessError) {
            let credentials = getenv("CREDENTIALS_DIRECTORY").map { String(cString: $0) }
            let access = try StoreAccess(parsed.settings.store, credentials: credentials)
            for warning in access.warnings {
                let place = parsed.place(of: warning.key)
                writeError(Diagnostic(.warning, at: place, "\(warning.key): \(warning.message)").description)
            }
            return (parsed.settings, access)
        } catch {
            let place = parsed.place(of: error.key)
            let problem = Diagnostic(.error, at: place, "\(error.key): \(error.message)", hint: error.hint)
            throw CommandFailure.usage(problem.description)
        }
    }
}

struct JSONFlag: ParsableArguments {
    @Flag(name: .customLong("json"), help: "Print one JSON document.")
    var isOn = false
}
