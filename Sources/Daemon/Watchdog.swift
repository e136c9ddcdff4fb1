import Clock
import Glibc
import System

/// Tells the service manager that the event loop runs (sd_watchdog_enabled(3)); only the event loop itself calls it.
struct Watchdog {
    /// `nil` if the service manager doesn't watch this process.
    let period: Duration?
    private var next = Instant.zero

    init(environment: (String) -> String? = { name in getenv(name).map { String(cString: $0) } }) {
        let limit = environment("WATCHDOG_USEC").flatMap { Int64($0) }.flatMap { $0 > 0 ? $0 : nil }
        let isOurs = environment("WATCHDOG_PID").map { Int32($0) == getpid() } ?? true
        // A quarter of the limit, since some ticks are late where processors are busy.
        period = isOurs ? limit.map { .microseconds($0 / 4) } : nil
    }

    mutating func timeAdvanced(to now: Instant, _ notifier: Notifier) {
        guard let period, now >= next else { return }
        next = now + period
        notifier.notify("WATCHDOG=1")
    }
}
