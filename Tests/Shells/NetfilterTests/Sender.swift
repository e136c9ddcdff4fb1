import Glibc
import Synchronization

/// Waits for what the kernel, or another thread, does when it finds the time; a minute at most.
func becomesTrue(_ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = ContinuousClock.now + .seconds(60)
    while true {
        if try condition() { return true }
        guard ContinuousClock.now < deadline else { return false }
        usleep(2_000)
    }
}

/// Sends datagrams from its own thread until it is stopped.
final class Sender: Sendable {
    private let descriptor: Int32
    private let isStopped = Atomic(false)
    private let sent = Atomic(0)
    private let thread = Atomic<UInt>(0)
    /// Held to keep the descriptor open.
    private nonisolated(unsafe) let socket: TestSocket
    private let pauseMicroseconds: UInt32

    init(_ socket: TestSocket, pauseMicroseconds: UInt32 = 50) {
        self.pauseMicroseconds = pauseMicroseconds
        self.socket = socket
        descriptor = socket.descriptor
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Sender>.fromOpaque(context).takeRetainedValue().send()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        self.thread.store(thread, ordering: .relaxed)
    }

    private func send() {
        var byte: UInt8 = 1
        while !isStopped.load(ordering: .relaxed) {
            if Glibc.send(descriptor, &byte, 1, 0) == 1 { sent.add(1, ordering: .relaxed) }
            if pauseMicroseconds > 0 { usleep(pauseMicroseconds) }
        }
    }

    /// Waits until so many more datagrams are sent, a minute at most.
    func sends(_ count: Int) -> Bool {
        let goal = sent.load(ordering: .relaxed) + count
        return becomesTrue { sent.load(ordering: .relaxed) >= goal }
    }

    /// Stops the thread, and returns the number of datagrams sent.
    func stop() -> Int {
        isStopped.store(true, ordering: .relaxed)
        pthread_join(thread.load(ordering: .relaxed), nil)
        return sent.load(ordering: .relaxed)
    }
}
