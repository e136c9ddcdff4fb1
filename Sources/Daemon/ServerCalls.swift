import Addresses
import Calls
import Configuration
import Liveness
import NIOCore

/// Has services of servers behind this gateway called, each server in the way of its settings. Belongs to one event loop.
final class ServerCalls {
    private let liveness: Liveness
    private let servers: [Settings.Server]
    private let called: (_ look: Int, ServerNumber, [LivenessQuestion: LivenessAnswer]) -> Void

    /// A service that takes longer counts as dead.
    private static let timeout: Duration = .seconds(1)

    init(
        on loop: any EventLoop, _ gateway: Settings.Gateway,
        called: @escaping (_ look: Int, ServerNumber, [LivenessQuestion: LivenessAnswer]) -> Void
    ) {
        liveness = Liveness(on: loop, clock: HostClock.now)
        servers = gateway.servers
        self.called = called
    }

    func look(_ questions: [LivenessQuestion], of server: ServerNumber, look: Int) {
        let settings = servers[server - 1]
        let called = called
        liveness.look(questions, how: settings.liveness, timeout: Self.timeout, source: settings.rpcbind.source) {
            called(look, server, $0)
        }
    }

    func close() { liveness.close() }
}
