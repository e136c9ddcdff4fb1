import NIOCore

/// Lets callers wait until the netfilter process has no long transaction under way, and then ask it.
///
/// A caller whose wait ends may begin the next long transaction. The callers behind it then go on waiting.
final class CommitWaiters {
    private let isCommitting: () -> Bool
    private var promises: [EventLoopPromise<Void>] = []

    init(isCommitting: @escaping () -> Bool) { self.isCommitting = isCommitting }

    /// Completes when no long transaction is under way, in the order of the calls.
    func wait(on loop: any EventLoop) -> EventLoopFuture<Void> {
        guard isCommitting() else { return loop.makeSucceededVoidFuture() }
        let promise = loop.makePromise(of: Void.self)
        promises.append(promise)
        return promise.futureResult
    }

    func commitEnded() {
        while !isCommitting(), !promises.isEmpty { promises.removeFirst().succeed() }
    }

    func fail(_ error: any Error) {
        while !promises.isEmpty { promises.removeFirst().fail(error) }
    }
}
