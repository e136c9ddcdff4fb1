import ArgumentParser
import Console
import Daemon

struct Guard: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Load the guard into the kernel without a daemon.", subcommands: [Load.self])

    struct Load: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Load the saved guard into the kernel; rpcwarden-guard.service runs this early at boot.",
            discussion: """
                Guards the ports of the last run and those of firewall.guard-ports, and opens none. An existing table \
                is left unchanged. Exits 0 also if no guard was saved yet.
                """)

        @OptionGroup var configuration: ConfigurationOption

        func run() throws {
            do {
                let loading = try loadGuard(configuration: configuration.path)
                for line in loading.lines { print(line) }
                guard loading.complaints.isEmpty else {
                    throw CommandFailure.usage(loading.complaints.joined(separator: "; "))
                }
            } catch let failure as CommandFailure {
                throw failure
            } catch {
                throw CommandFailure.usage("\(error)")
            }
        }
    }
}
