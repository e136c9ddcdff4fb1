import NIOCore

/// A watch that was asked for; letting go of it doesn't end it.
public final class EtcdWatch: Sendable {
    private let stream: NIOLoopBoundBox<WatchStream>
    private let loop: any EventLoop

    init(_ stream: NIOLoopBoundBox<WatchStream>, _ loop: any EventLoop) {
        self.stream = stream
        self.loop = loop
    }

    /// Ends it; nothing is told any more once the event loop has heard of it.
    public func cancel() { loop.execute { self.stream.value.cancel() } }
}
