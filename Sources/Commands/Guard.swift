import ArgumentParser
import Console
import Daemon

struct Guard: SubcommandGroup {
    static let configuration = CommandConfiguration(
        abstract: "Load the guard into the kernel, or take it out, without a daemon.",
        subcommands: [Load.self, Unload.self])

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

    struct Unload: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take the guard out of the kernel: every service port is open to everyone.",
            discussion: """
                For a host without a daemon; with one, use stop --open. With firewall.manage: sets it empties the set \
                of guarded ports, and leaves the table. Exits 0 also if there is no table.
                """)

        @OptionGroup var configuration: ConfigurationOption

        func run() throws {
            do { print(try unloadGuard(configuration: configuration.path)) } catch {
                throw CommandFailure(message: "the guard stays: \(error)", code: ExitStatus.failed)
            }
        }
    }
}
