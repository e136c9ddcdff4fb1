import ArgumentParser
import Console
import Daemon

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the daemon in the foreground.",
        discussion: "Ends on SIGTERM, and leaves guard and grants in place. SIGHUP reads the policy again.")

    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
        do {
            try serve(configuration: configuration.path)
        } catch let error as ServeError {
            let message = error.description
            throw CommandFailure(message: message.isEmpty ? nil : message, code: ExitStatus.usage)
        } catch {
            throw CommandFailure.usage("\(error)")
        }
    }
}
