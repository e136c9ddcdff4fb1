import ArgumentParser
import Configuration
import Console
import Glibc
import PolicyFile
import System

/// Hands over to rpcwarden-fleet, which alone speaks with etcd.
struct Fleet: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask or tell the fleet, by rpcwarden-fleet.",
        discussion: """
            nodes, grants, quarantines and status ask the running sidecar, by fleet.control of the configuration. \
            publish, diff, order and check take fleet.yaml: see rpcwarden-fleet(8).
            """)

    @OptionGroup var configuration: ConfigurationOption

    @Argument(
        parsing: .captureForPassthrough,
        help: ArgumentHelp("A command of rpcwarden-fleet, and its options.", valueName: "command"))
    var words: [String] = []

    private static let program = "rpcwarden-fleet"
    /// They ask the sidecar, and take this program's configuration.
    private static let questions: Set<String> = ["nodes", "grants", "quarantines", "status"]

    func run() throws {
        var words = words
        if let command = words.first, Self.questions.contains(command), !words.contains("--help"),
            !words.contains("-h")
        {
            let path = try Self.takeConfiguration(from: &words) ?? configuration.path
            if !words.contains(where: { $0 == "--socket" || $0.hasPrefix("--socket=") }) {
                let settings = try ConfigurationOption.settings(of: path)
                words += ["--socket", settings.fleet?.controlPath ?? SidecarSettings.controlPath]
            }
        } else if let path = configuration.path {
            words += ["--config", path]
        }
        throw Self.execute(words)
    }

    /// `rpcwarden fleet nodes --config FILE`: the file is rpcwarden.yaml.
    private static func takeConfiguration(from words: inout [String]) throws -> String? {
        let option = "--config"
        if let place = words.firstIndex(where: { $0.hasPrefix(option + "=") }) {
            return String(words.remove(at: place).dropFirst(option.count + 1))
        }
        guard let place = words.firstIndex(of: option) else { return nil }
        guard place + 1 < words.count else { throw CommandFailure.usage("\(option) needs a file") }
        let path = words[place + 1]
        words.removeSubrange(place...place + 1)
        return path
    }

    /// Becomes the other program; returns why it could not.
    private static func execute(_ words: [String]) -> CommandFailure {
        var arguments = ([program] + words).map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        // Beside this one, if a build or another folder has both.
        if let folder = ownProgram.flatMap({ PathParts($0).folder }) { execv("\(folder)/\(program)", &arguments) }
        execvp(program, &arguments)
        let error = Errno()
        guard error.code == ENOENT else { return .usage("can't run \(program): \(error)") }
        return .usage("\(program) is not installed; install the package \(program)")
    }
}
