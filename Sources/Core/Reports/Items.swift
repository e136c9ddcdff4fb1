import Addresses
import AuditTrail
import Clock

// What is told one by one, in the order of the log.

struct ModeItem: Hashable {
    var host: Int
    var at: Timestamp
    var mode: Mode
}

struct QuarantineItem: Hashable {
    var source: IPAddress?
    var host: Int
    var at: Timestamp
    var duration: Duration?
    var detail: String
    var isEnforced: Bool
}

struct TamperingItem: Hashable {
    var host: Int
    var from: Timestamp
    /// `nil`: the log doesn't tell that the table was restored.
    var to: Timestamp?
    var changes: Int
    var detail: String
}

struct ReloadItem: Hashable {
    var host: Int
    var at: Timestamp
    /// The name of the event: `reloaded`, `reload-refused`, `policy-accepted` or `policy-refused`.
    var kind: AuditEvent.Kind
    var detail: String

    var isRefused: Bool { kind == .reloadRefused || kind == .policyRefused }
}

struct RestartItem: Hashable {
    var host: Int
    /// `nil`: the log doesn't tell of an end before this start.
    var stopped: Timestamp?
    var started: Timestamp
    var detail: String
}

struct GapItem: Hashable {
    enum Cause: Hashable {
        /// The daemon had ended, for more than a minute.
        case stopped
        /// A start without an end before it.
        case crash
        /// No line for more than a day.
        case silence
        /// Lines beyond the limits of the log, by their number.
        case suppressed(Int)
    }

    var host: Int
    var from: Timestamp
    /// `nil`: it hadn't ended when the log did.
    var to: Timestamp?
    var cause: Cause
}
