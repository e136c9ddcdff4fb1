import Clock
import NIOCore
import PortmapServer

extension Engine {
    /// Time limit of draining: for calls that wait for rpcbind, and for accepted connections without a call yet.
    private static let drainMax: Duration = .seconds(1)
    private static let drainPeriod: TimeAmount = .milliseconds(5)

    /// Takes no more calls, and answers those that it took. Calls that still wait in the sockets are answered by
    /// the next daemon, if the service manager keeps the sockets.
    func drain() -> EventLoopFuture<Void> {
        guard !isStopped, let server = shells.server else { return loop.makeSucceededVoidFuture() }
        server.stopListening()
        let promise = loop.makePromise(of: Void.self)
        drain(until: HostClock.now() + Self.drainMax, promise)
        return promise.futureResult
    }

    /// Checks after a pause, not at once: NIO registers an accepted connection in a task of the event loop.
    private func drain(until deadline: Instant, _ promise: EventLoopPromise<Void>) {
        let this = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.drainPeriod) {
            guard !this.value.hasDrained(), HostClock.now() < deadline else { return promise.succeed() }
            this.value.drain(until: deadline, promise)
        }
    }

    /// Closes connections that were answered; returns whether none is left.
    private func hasDrained() -> Bool {
        guard !core.warden.isAnswering else { return false }
        shells.server?.closeAnswered()
        return core.warden.connectionCount == 0
    }
}
