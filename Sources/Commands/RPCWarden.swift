import Addresses
import ArgumentParser
import Control
import Daemon
import Glibc
import PolicyFile
import Portmapper

@main
struct RPCWarden: ParsableCommand {
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
            Learn.self, Top.self, Guard.self, PolicyBundles.self,
        ])

    /// Like ``ParsableCommand/main()``, with the exit codes of rpcwarden(8).
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let failure as CommandFailure {
            failure.exit()
        } catch {
            let code = exitCode(for: error)
            let text = fullMessage(for: error)
            if code == .success {
                print(text)
                Glibc.exit(0)
            }
            let prefix = "Error: "
            writeError(text.hasPrefix(prefix) ? "rpcwarden: " + text.dropFirst(prefix.count) : text)
            Glibc.exit(ExitStatus.usage)
        }
    }
}

/// Exit codes (rpcwarden(8), EXIT STATUS).
enum ExitStatus {
    static let denied: Int32 = 1
    static let usage: Int32 = 2
    static let unreachable: Int32 = 3
}

/// The failure of a command, with a message and a nonzero exit code.
struct CommandFailure: Error {
    var message: String?
    var code: Int32

    func exit() -> Never {
        if let message { writeError(message.hasPrefix("rpcwarden:") ? message : "rpcwarden: \(message)") }
        Glibc.exit(code)
    }
}

func writeError(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}

struct ConfigurationOption: ParsableArguments {
    @Option(
        name: .customLong("config"),
        help: ArgumentHelp(
            "The configuration file (default: /etc/rpcwarden/rpcwarden.yaml, which may be missing).", valueName: "file"),
        completion: .file(extensions: ["yaml"])
    )
    var path: String?
}

extension CompletionKind {
    static var transport: Self { .list(Transport.allCases.map(\.description)) }
}

struct JSONFlag: ParsableArguments {
    @Flag(name: .customLong("json"), help: "Print one JSON document.")
    var isOn = false
}
