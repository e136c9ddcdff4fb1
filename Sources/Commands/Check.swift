import Activity
import Addresses
import ArgumentParser
import Console
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
        for diagnostic in result.diagnostics {
            Display.show(diagnostic.paragraph, rest: "    ")
        }
        let note = result.hasErrors ? nil : result.bundle?.expiryNote
        if let note { Display.show(Paragraph(note), rest: "    ") }
        Display.show(Paragraph(result.summary(warnings: note == nil ? 0 : 1)))
        if result.hasErrors { throw CommandFailure(message: nil, code: ExitStatus.usage) }
    }
}

extension Diagnostic {
    /// The description.
    fileprivate var paragraph: Paragraph {
        Paragraph("\(location):", .strong) + Paragraph("\(severity.rawValue):", severity == .error ? .alarm : .warning)
            + Paragraph(text)
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
