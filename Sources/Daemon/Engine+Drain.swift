import Clock
import NIOCore
import PortmapServer

extension Engine {
    /// For what rpcbind has been asked, and for connections that were accepted and have asked nothing yet.
    private static let drainMax: Duration = .seconds(1)
    private static let drainPeriod: TimeAmount = .milliseconds(5)

    /// Takes no more calls, and answers those that it took; what waits in the sockets is the next daemon's, if the service
    /// manager keeps them.
    func drain() -> EventLoopFuture<Void> {
        guard !isStopped, let server else { return loop.makeSucceededVoidFuture() }
        server.stopListening()
        let promise = loop.makePromise(of: Void.self)
        drain(until: HostClock.now() + Self.drainMax, promise)
        return promise.futureResult
    }

    /// Looked at later, not at once: NIO registers a connection that it has accepted by a task of the loop.
    private func drain(until deadline: Instant, _ promise: EventLoopPromise<Void>) {
        let this = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.drainPeriod) {
            guard !this.value.hasDrained(), HostClock.now() < deadline else { return promise.succeed() }
            this.value.drain(until: deadline, promise)
        }
    }

    /// Lets go who has been answered.
    private func hasDrained() -> Bool {
        guard !warden.isAnswering else { return false }
        server?.closeAnswered()
        return warden.connectionCount == 0
    }
}
