import Glibc

/// Runs a call that may block for long and can't be interrupted, on a thread of its own.
public enum BlockingCall {
    /// - Returns: 0, or an errno if no thread can be made.
    public static func start(_ body: @escaping @Sendable () -> Void) -> Int32 {
        let work = Unmanaged.passRetained(Work(body))
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, { Work.run($0) }, work.toOpaque())
        guard code == 0 else {
            work.release()
            return code
        }
        pthread_detach(thread)
        return 0
    }

    /// The context that pthread_create passes to the thread.
    private final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }

        static func run(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
            guard let context else { return nil }
            // Signals are blocked here: the main thread waits for them.
            var signals = sigset_t()
            sigfillset(&signals)
            pthread_sigmask(SIG_BLOCK, &signals, nil)
            Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body()
            return nil
        }
    }
}
