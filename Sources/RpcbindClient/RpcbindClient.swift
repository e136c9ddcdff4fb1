import NIOCore
import Portmapper
import Warden

/// Asks the real rpcbind, over its unix socket alone: it has no network.
///
/// Belongs to one event loop, as does the closure that takes the answers.
public final class RpcbindClient {
    public typealias Answer = Result<RpcbindAnswer, RpcbindFailure>

    private let route: Route

    /// - Parameters:
    ///   - trustedOwners: as rpcbind shows them; of a long listing their registrations are kept first.
    ///   - delivered: the answers that arrived together have all been told of.
    public init(
        on loop: any EventLoop, settings: Settings.Rpcbind, trustedOwners: Set<String>,
        clock: @escaping () -> Instant, answered: @escaping (Question, Answer) -> Void,
        delivered: @escaping () -> Void
    ) {
        route = Route(
            on: loop, to: settings.socketPath, trustedOwners: trustedOwners, timeout: settings.timeout, clock: clock,
            answered: answered, delivered: delivered)
    }

    public func ask(_ question: Question) { route.ask(question) }

    /// Time passes: late questions fail.
    public func timeAdvanced() { route.timeAdvanced() }

    public func close() { route.close() }
}
