import Addresses
import ArgumentParser
import Daemon
import PolicyFile
import System

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check the configuration and its policy, or the files given.",
        discussion: "Prints every problem as file:line:column. Exits 0 if only warnings were found, else 2.")

    @OptionGroup var configuration: ConfigurationOption

    @Argument(
        help: ArgumentHelp(
            "Configuration or policy files; without any, the configuration and the policy it names.", valueName: "file"),
        completion: .file(extensions: ["yaml"]))
    var files: [String] = []

    func run() throws {
        let loader = PolicyLoader(ownAddresses: ownAddresses(), after: lastBundle())
        let result =
            files.isEmpty ? loader.load(configurationPath: configuration.path) : loader.check(files: files)
        for diagnostic in result.diagnostics { print(diagnostic.description) }
        if result.hasErrors { throw CommandFailure(message: nil, code: ExitStatus.usage) }
        if let note = result.bundle?.expiryNote { print(note) }
        if result.diagnostics.isEmpty { print("no problems in \(result.filesRead.joined(separator: ", "))") }
    }
}

/// This host's addresses; empty if they can't be read. They add findings, and nothing depends on them.
func ownAddresses() -> Set<IPAddress> {
    do throws(Errno) {
        return Set(try Interfaces.addresses().compactMap(IPAddress.init(networkBytes:)))
    } catch {
        return []
    }
}
