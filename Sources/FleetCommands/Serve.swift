import ArgumentParser
import Bundles
import Console
import Etcd
import PolicyFile
import Sidecar

struct ServeSidecar: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Run the sidecar in the foreground.",
        discussion: "Ends on SIGTERM. A daemon or a store that is away is waited for.")

    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
        let (settings, access) = try configuration.settings()
        let places: SidecarPlaces
        do {
            places = try SidecarPlaces(settings, isName: PolicyBundle.isName)
        } catch {
            throw CommandFailure.usage("\(error)")
        }
        do {
            try serve(places, access)
        } catch let error as EtcdSettingsError {
            throw CommandFailure.usage("\(error)")
        } catch {
            // The unit starts it again, but not after a mistake of the configuration.
            throw CommandFailure(message: "\(error)", code: ExitStatus.failed)
        }
    }
}

struct CheckSidecar: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check fleet.yaml, and the files that it names.",
        discussion: "Prints every problem as file:line:column. Exits 0 if only warnings were found, else 2.")

    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
        let (settings, access) = try configuration.settings()
        do {
            _ = try SidecarPlaces(settings, isName: PolicyBundle.isName)
        } catch {
            throw CommandFailure.usage("\(error)")
        }
        if access.warnings.isEmpty {
            print("no problems in \(configuration.path ?? ParsedSidecarConfiguration.path)")
        }
    }
}
