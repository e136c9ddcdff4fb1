import NIOCore

/// Those who have a question for the netfilter process while a long transaction keeps it busy. Each may begin the
/// next one, for which the others then wait.
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
