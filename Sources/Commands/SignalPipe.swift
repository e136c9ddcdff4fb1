import Console
import Glibc
import System

/// Turns signals into bytes of a pipe, so that `poll` waits for them together with other events.
struct SignalPipe {
    let descriptor: Int32
    private let numbers: [Int32]

    init(_ numbers: [Int32]) throws {
        do throws(Errno) {
            let pipe = try Pipe(waits: false)
            descriptor = pipe.readEnd
            writingEnd = pipe.writeEnd
        } catch {
            throw CommandFailure.usage("can't make a pipe: \(error)")
        }
        self.numbers = numbers
        for number in numbers { Self.catchSignal(number) }
    }

    /// The next signal received, if any.
    func next() -> Int32? {
        var byte: UInt8 = 0
        return read(descriptor, &byte, 1) == 1 ? Int32(byte) : nil
    }

    /// Runs `body` while the signal has its default effect.
    func withDefault(_ number: Int32, _ body: () -> Void) {
        signal(number, SIG_DFL)
        body()
        Self.catchSignal(number)
    }

    /// Without SA_RESTART, so that a signal also interrupts `read` and `write`.
    private static func catchSignal(_ number: Int32) {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { number in
            var byte = UInt8(truncatingIfNeeded: number)
            let saved = errno
            _ = write(writingEnd, &byte, 1)
            errno = saved
        }
        sigaction(number, &action, nil)
    }
}

/// For the signal handler, which can't capture anything; written once, before a handler is installed.
private nonisolated(unsafe) var writingEnd: Int32 = -1
