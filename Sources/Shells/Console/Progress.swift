import Activity
import Glibc
import Synchronization
import System

/// A line on the terminal of standard error that says how far a piece of work is, once it has taken a second.
///
/// Without a terminal there is none. The line is shown by a thread of its own, so it appears while the work waits, too.
public final class Progress: Sendable {
    public static let patience: Duration = .seconds(1)
    private static let period: Duration = .milliseconds(200)

    private let text: Mutex<String>
    /// Its end wakes the thread.
    private let wakeup: Pipe?
    private let thread = Mutex<pthread_t?>(nil)

    public init(_ text: String = "") {
        self.text = Mutex(text)
        guard isatty(STDERR_FILENO) == 1, getenv("TERM").map({ String(cString: $0) }) != "dumb" else {
            wakeup = nil
            return
        }
        do throws(Errno) {
            wakeup = try Pipe()
        } catch {
            wakeup = nil
        }
        if wakeup != nil { start() }
    }

    deinit { end() }

    private func start() {
        // The thread ends before this object does: `end` waits for it.
        let context = Unmanaged.passUnretained(self).toOpaque()
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<Progress>.fromOpaque(context).takeUnretainedValue().run() }
                return nil
            }, context)
        if code == 0 { self.thread.withLock { $0 = thread } }
    }

    /// What the line says from now on.
    public func note(_ text: @autoclosure () -> String) {
        guard wakeup != nil else { return }
        let text = text()
        self.text.withLock { $0 = text }
    }

    /// Clears the line. Idempotent.
    public func end() {
        guard let wakeup, let thread = thread.withLock({ $0.take() }) else { return }
        close(wakeup.writeEnd)
        pthread_join(thread, nil)
        close(wakeup.readEnd)
    }

    private func run() {
        guard let wakeup else { return }
        var pause = Self.patience
        var isShown = false
        while !Self.ends(wakeup.readEnd, within: pause) {
            pause = Self.period
            let columns = Display.size(of: STDERR_FILENO)?.columns ?? 80
            let line = DisplayText(text.withLock { $0 }).cut(to: columns - 1).description
            guard !line.isEmpty else { continue }
            Self.write("\r\(line)\u{1b}[K")
            isShown = true
        }
        if isShown { Self.write("\r\u{1b}[K") }
    }

    private static func ends(_ descriptor: Int32, within pause: Duration) -> Bool {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&waiting, 1, Int32(pause / .milliseconds(1))) > 0
    }

    private static func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
