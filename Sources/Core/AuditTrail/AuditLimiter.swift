import Addresses
import Clock

/// Lets events through up to a rate for each source and in all, and counts exactly the events that it suppresses.
///
/// Events that any local user can cause by registering have a bucket of their own, and so have what a fleet's sidecar
/// causes, and findings about a client: the flood of its calls must not hide them. So have denials: no number of calls
/// that are permitted, or beyond the rate, takes a line of one. What came over TCP has other buckets than what anybody
/// can forge. Other events without a client are rare and always pass.
public struct AuditLimiter: Sendable {
    /// Full lines a second for one client: enough to read, too few to fill a disk.
    public static let linesPerSecondPerClient = 20
    /// The rate of all strangers together over TCP, and of all others; all clients that a rule names have as much.
    public static let linesPerSecond = 500
    /// A burst passes whole, so that a mount storm or a scan is seen as it was.
    public static let burstSeconds = 10
    public static let summaryPeriod: Duration = .seconds(10)

    private var perClient = RateLimiter(
        perSecond: linesPerSecondPerClient, burst: linesPerSecondPerClient * burstSeconds)
    private var registrations = RateLimiter(
        perSecond: linesPerSecondPerClient, burst: linesPerSecondPerClient * burstSeconds)
    private var findings = RateLimiter(
        perSecond: linesPerSecondPerClient, burst: linesPerSecondPerClient * burstSeconds)
    private var fleet = RateLimiter(
        perSecond: linesPerSecondPerClient, burst: linesPerSecondPerClient * burstSeconds)
    private var inAll = RateLimiter(perSecond: linesPerSecond, burst: linesPerSecond * burstSeconds)
    private var swallowed = Counts<AuditEvent.Kind>()
    /// The time of the first suppressed event since the last summary.
    private var firstSwallowed: Instant?

    public init() {}

    /// Whether the event may be logged in full.
    ///
    /// - Parameter isOfRate: it is a denial of a call for no other reason than the rate.
    public mutating func admits(
        _ kind: AuditEvent.Kind, of client: IPAddress?, isListed: Bool, over transport: Transport?,
        isOfRate: Bool = false, at now: Instant
    ) -> Bool {
        if hasRoom(for: kind, client, isListed, transport, isOfRate, at: now) { return true }
        swallow(kind, 1, at: now)
        return false
    }

    /// Counts events as suppressed; packets that the kernel dropped without a report count, too.
    public mutating func swallow(_ kind: AuditEvent.Kind, _ count: Int, at now: Instant) {
        guard count > 0 else { return }
        swallowed[kind] += count
        if firstSwallowed == nil { firstSwallowed = now }
    }

    private mutating func hasRoom(
        for kind: AuditEvent.Kind, _ client: IPAddress?, _ isListed: Bool, _ transport: Transport?,
        _ isOfRate: Bool, at now: Instant
    ) -> Bool {
        switch kind {
        case .enumeration, .quarantined, .released:
            return findings.admits(transport.map { .everyone(over: $0) } ?? .everyone, at: now)
        case .registered, .unregistered, .untrustedRegistration, .staleRegistration, .orphaned, .unguardable:
            return registrations.admits(.everyone, at: now)
        case .fleetConnected, .fleetLost, .policyRefused: return fleet.admits(.everyone, at: now)
        case .permitted, .denied, .malformed, .granted, .renewed, .expired, .revoked, .probed, .tampered, .restored,
            .rpcbindDown, .rpcbindUp, .reloaded, .reloadRefused, .started, .stopped, .suppressed, .shielded,
            .policyAccepted, .policyExpired:
            guard let client else { return true }
            // A packet that was dropped proves its source no more than UDP does.
            let evidence = kind == .probed ? .udp : transport ?? .udp
            let isDenial = kind == .denied && !isOfRate || kind == .malformed
            let key = RateLimiter.Key(client, evidence, isListed: isListed, isApart: isDenial)
            return perClient.admits(key, at: now)
                && inAll.admits(.everyone(over: evidence, isListed: isListed, isApart: isDenial), at: now)
        }
    }

    /// One `suppressed` event for each kind that lost lines since the last summary.
    public mutating func summary(at now: Instant) -> [AuditEvent] {
        guard let firstSwallowed, now - firstSwallowed >= Self.summaryPeriod else { return [] }
        return lastSummary(at: now)
    }

    /// The same summary, however short the time since the last one.
    public mutating func lastSummary(at now: Instant) -> [AuditEvent] {
        guard let firstSwallowed else { return [] }
        let window = now - firstSwallowed
        defer {
            swallowed = Counts()
            self.firstSwallowed = nil
        }
        let kinds = AuditEvent.Kind.allCases.filter { swallowed[$0] > 0 }
        return kinds.sorted { $0.rawValue < $1.rawValue }.map { kind in
            var event = AuditEvent(.suppressed, detail: kind.rawValue)
            event.count = swallowed[kind]
            event.window = window
            return event
        }
    }
}
