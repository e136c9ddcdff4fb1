import NIOCore
import NIOPosix

/// A thread for work that would hold up the event loop: parsing and compiling policies, making long replies. It is
/// started with the first work.
final class WorkThread {
    let loop: any EventLoop
    private let pool = NIOThreadPool(numberOfThreads: 1)
    private var isStarted = false

    init(for loop: any EventLoop) { self.loop = loop }

    func run<Value: Sendable>(_ work: @escaping @Sendable () -> Value) -> EventLoopFuture<Value> {
        if !isStarted {
            isStarted = true
            pool.start()
        }
        return pool.runIfActive(eventLoop: loop, work)
    }

    /// Work that is still on the thread ends with the process.
    func close() {
        if isStarted { pool.shutdownGracefully { _ in } }
    }
}
