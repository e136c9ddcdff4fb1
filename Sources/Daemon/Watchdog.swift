import Clock
import Glibc

/// Tells the service manager that the event loop turns (sd_watchdog_enabled(3)); fed by nothing but the loop itself.
struct Watchdog {
    /// `nil` where nobody watches this process.
    let period: Duration?
    private var next = Instant.zero

    init(environment: (String) -> String? = { name in getenv(name).map { String(cString: $0) } }) {
        let limit = environment("WATCHDOG_USEC").flatMap { Int64($0) }.flatMap { $0 > 0 ? $0 : nil }
        let isOurs = environment("WATCHDOG_PID").map { Int32($0) == getpid() } ?? true
        // Some ticks come late where processors are short.
        period = isOurs ? limit.map { .microseconds($0 / 4) } : nil
    }

    mutating func timeAdvanced(to now: Instant, _ notifier: Notifier) {
        guard let period, now >= next else { return }
        next = now + period
        notifier.notify("WATCHDOG=1")
    }
}
