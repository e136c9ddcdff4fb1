import ArgumentParser
import Daemon

struct Guard: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The guard in the kernel, without a daemon.", subcommands: [Load.self])

    struct Load: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put the last guard into the kernel: what an early unit does at a boot.",
            discussion: """
                It closes the ports that were guarded last and those of firewall.guard-ports, and opens nothing. A table \
                that is there stays as it is. Exits 0 also when nothing was saved yet.
                """)

        @OptionGroup var configuration: ConfigurationOption

        func run() throws {
            do {
                let loading = try loadGuard(configuration: configuration.path)
                for line in loading.lines { print(line) }
                guard loading.complaints.isEmpty else {
                    throw CommandFailure(message: loading.complaints.joined(separator: "; "), code: ExitStatus.usage)
                }
            } catch let failure as CommandFailure {
                throw failure
            } catch {
                throw CommandFailure(message: "\(error)", code: ExitStatus.usage)
            }
        }
    }
}
