import Glibc

/// The work of one thread and its result; only that thread uses it until it is joined.
private final class Worker<Result: Sendable>: @unchecked Sendable {
    let work: @Sendable () -> Result
    var result: Result?

    init(_ work: @escaping @Sendable () -> Result) { self.work = work }
}

private final class Job: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

private func start(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let pointer else { return nil }
    Unmanaged<Job>.fromOpaque(pointer).takeRetainedValue().run()
    return nil
}

/// Runs `work` for 0..<count, each on its own thread, because its calls block.
func inParallel<Result: Sendable>(_ count: Int, _ work: @escaping @Sendable (Int) -> Result) -> [Result] {
    let workers = (0..<count).map { index in Worker { work(index) } }
    let threads = workers.map { worker in
        var thread = pthread_t()
        let job = Unmanaged.passRetained(Job { worker.result = worker.work() })
        let code = pthread_create(&thread, nil, start, job.toOpaque())
        precondition(code == 0, "pthread_create: \(code)")
        return thread
    }
    for thread in threads { pthread_join(thread, nil) }
    return workers.compactMap(\.result)
}
