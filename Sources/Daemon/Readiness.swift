import Clock

/// Decides when the service manager is told that the daemon is ready (sd_notify(3)).
///
/// ```
/// waiting ──rpcbind has answered──────────────────────▶ ready
///    └──late──▶ ready without rpcbind ──it has answered──┘
/// ```
struct Readiness {
    private enum State {
        case waiting
        case readyWithoutRpcbind
        case ready
    }

    /// An rpcbind that isn't up by then may never be. The service manager would end a daemon that guards, and start it anew
    /// (the unit's TimeoutStartSec, 90 s).
    static let rpcbindAwaitedMax: Duration = .seconds(75)
    /// Names in /etc/hosts are resolved within this time, so no client is denied because of them; a name server
    /// may take longer.
    static let namesAwaitedMax: Duration = .milliseconds(200)

    private let startedAt: Instant
    private var state = State.waiting

    init(startedAt: Instant) {
        self.startedAt = startedAt
    }

    /// The table is in place, and port 111 is bound.
    /// - Parameter isServed: whether this host's rpcbind has answered, or isn't needed.
    /// - Returns: the state to tell, and whether the daemon is ready by it; `nil`: there is nothing new.
    mutating func guarded(
        isServed: Bool, knowsNames: @autoclosure () -> Bool, at now: Instant
    ) -> (message: String, isReadyNow: Bool)? {
        switch state {
        case .waiting:
            guard knowsNames() || now >= startedAt + Self.namesAwaitedMax else { return nil }
            if isServed {
                state = .ready
                return ("READY=1", true)
            }
            guard now >= startedAt + Self.rpcbindAwaitedMax else { return nil }
            state = .readyWithoutRpcbind
            return ("READY=1\nSTATUS=rpcbind does not answer: the ports are guarded, and calls are denied", true)
        case .readyWithoutRpcbind:
            guard isServed else { return nil }
            state = .ready
            return ("STATUS=rpcbind answers", false)
        case .ready: return nil
        }
    }
}
