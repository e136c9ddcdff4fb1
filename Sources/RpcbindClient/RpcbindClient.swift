import NIOCore
import NIOPosix
import ONCRPC
import Portmapper
import Warden

/// Asks the real rpcbind: over its unix socket, and over loopback for each netid.
///
/// Belongs to one event loop, as does the closure that takes the answers.
public final class RpcbindClient {
    public typealias Answer = Result<PortmapperResult, RpcbindFailure>

    private var routes: [NetID: Route] = [:]
    private let loop: any EventLoop
    private let settings: Settings.Rpcbind
    private let clock: () -> Instant
    private let answered: (Question, Answer) -> Void
    private let delivered: () -> Void

    /// - Parameter delivered: the answers that arrived together have all been told of.
    public init(
        on loop: any EventLoop, settings: Settings.Rpcbind, clock: @escaping () -> Instant,
        answered: @escaping (Question, Answer) -> Void, delivered: @escaping () -> Void
    ) {
        self.loop = loop
        self.settings = settings
        self.clock = clock
        self.answered = answered
        self.delivered = delivered
    }

    public func ask(_ question: Question) {
        guard let route = route(for: question.netID) else {
            return answered(
                question, .failure(.unreachable("rpcbind.address has no \(question.netID.rawValue) address")))
        }
        route.ask(question)
    }

    private func route(for netID: NetID) -> Route? {
        if let route = routes[netID] { return route }
        guard let place = place(of: netID) else { return nil }
        let route = Route(
            on: loop, to: place, timeout: settings.timeout, clock: clock, answered: answered, delivered: delivered)
        routes[netID] = route
        return route
    }

    private func place(of netID: NetID) -> Route.Place? {
        guard let transport = netID.transport else { return .unix(settings.socketPath) }
        guard let endpoint = settings.addresses.first(where: { $0.address.isIPv4 == netID.isIPv4 }) else { return nil }
        switch transport {
        case .udp: return .udp(endpoint)
        case .tcp: return .tcp(endpoint)
        }
    }

    /// Time passes: late questions fail, lost datagrams are sent again.
    public func timeAdvanced() {
        for route in routes.values { route.timeAdvanced() }
    }

    public func close() {
        for route in routes.values { route.close() }
    }
}
