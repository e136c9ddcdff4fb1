import Configuration
import Console
import Etcd
import Fleet
import NIOCore
import NIOPosix
import Sidecar
import System

/// etcd, for a command that asks it and ends.
struct StoreConnection {
    let client: EtcdClient
    let fleet: String
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    /// Opens it, and has `body` use it; what etcd refuses ends the command.
    static func with<Result>(
        _ configuration: ConfigurationOption, fleet: String? = nil, _ body: (StoreConnection) throws -> Result
    ) throws -> Result {
        let (settings, access) = try configuration.settings()
        let connection = try StoreConnection(settings, access, fleet: fleet)
        defer { connection.close() }
        do {
            return try body(connection)
        } catch let error as EtcdError {
            throw CommandFailure(message: "etcd: \(StandardError.printable("\(error)"))", code: ExitStatus.unreachable)
        }
    }

    private init(_ settings: SidecarSettings, _ access: StoreAccess, fleet: String?) throws {
        self.fleet = fleet ?? settings.fleet
        do {
            client = try EtcdClient(on: group.next(), access.settings)
        } catch {
            throw CommandFailure.usage("\(error)")
        }
    }

    private func close() {
        client.close()
        do { try group.syncShutdownGracefully() } catch { writeError("rpcwarden-fleet: \(error)") }
    }

    func bytes(_ key: FleetKey) -> [UInt8] { Array(key.text(of: fleet).utf8) }

    /// The value of one key; `nil`: there is none.
    func value(_ key: FleetKey) throws -> [UInt8]? {
        try client.range(EtcdRange(key: bytes(key)), limit: 1).wait().records.first?.value
    }

    func prefix(_ path: String) -> EtcdRange {
        EtcdRange(prefix: Array((FleetKey.prefix(of: fleet) + path).utf8))
    }
}
