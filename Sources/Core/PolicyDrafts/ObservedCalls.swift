import Addresses
import AuditTrail
import Clock
import Policy

/// Gathers the clients' calls from the audit log, and derives the policy that would have permitted them.
///
/// It learns from calls that were permitted, and from calls that observe mode let pass though enforce would have
/// denied them. Calls that enforce denied were denied on purpose.
public struct ObservedCalls: Sendable {
    /// Clients times services. It is bounded because forged sources must not fill the memory.
    public static let entriesMax = 262_144

    /// Whether DUMP over UDP is answered if a rule lists (`limits.udp-list`).
    private let listsOverUDP: Bool
    private let entriesMax: Int

    private(set) var lookups: [ServiceKey: [IPAddress: Evidence]] = [:]
    private(set) var listings: [IPAddress: Evidence] = [:]
    /// NULL, or a look-up of the portmapper itself, which is answered to every client that a rule names.
    private(set) var greetings: [IPAddress: Evidence] = [:]
    private(set) var probes: [ServiceKey: [IPAddress: Evidence]] = [:]
    /// Addresses of this host, which need no rule.
    private(set) var ownAddresses: Set<IPAddress> = []
    private(set) var suspects: Set<IPAddress> = []
    private(set) var remarks: [Remark: Int] = [:]
    private(set) var period: (first: Timestamp, last: Timestamp)?
    private var entries = 0

    public init(listsOverUDP: Bool, entriesMax: Int = Self.entriesMax) {
        self.listsOverUDP = listsOverUDP
        self.entriesMax = entriesMax
    }

    public mutating func note(_ event: AuditEvent, at time: Timestamp) {
        if event.kind == .suppressed, Self.hidesCalls(event) { remark(.suppressed, event.count ?? 1) }
        // A rule for the client's own calls permits the server to call back.
        guard !event.isOfCallback else { return }
        guard let client = event.client, !client.isLoopback, !client.isUnspecified, !client.isMulticastOrBroadcast
        else { return }
        period = (min(period?.first ?? time, time), max(period?.last ?? time, time))
        switch event.kind {
        case .permitted: notePermitted(event, client, time)
        case .denied where event.isEnforced: noteEnforced(event)
        case .denied: noteObserved(event, client, time)
        case .probed where !event.isEnforced: noteProbe(event, client, time)
        case .enumeration, .quarantined: if suspects.count < entriesMax { suspects.insert(client) }
        case .probed, .malformed, .granted, .renewed, .expired, .revoked, .released, .registered, .unregistered,
            .untrustedRegistration, .staleRegistration, .tampered, .restored, .rpcbindDown, .rpcbindUp, .reloaded,
            .reloadRefused, .started, .stopped, .suppressed, .shielded, .orphaned, .unguardable,
            .policyAccepted, .policyRefused, .policyExpired, .fleetConnected, .fleetLost:
            break
        }
    }

    /// Whether lines of calls may be among those that were left out. Without the name of a kind they were of all kinds.
    private static func hidesCalls(_ event: AuditEvent) -> Bool {
        let kind = event.detail.flatMap(AuditEvent.Kind.init(rawValue:))
        return kind == nil || kind == .denied || kind == .permitted || kind == .probed
    }

    /// A call that is permitted without a rule is from this host, except greetings, which any named client may
    /// send.
    private mutating func notePermitted(_ event: AuditEvent, _ client: IPAddress, _ time: Timestamp) {
        guard event.rule == nil, !Self.isGreeting(event) else { return learn(event, client, time) }
        if ownAddresses.count < entriesMax { ownAddresses.insert(client) }
    }

    private mutating func noteEnforced(_ event: AuditEvent) {
        switch event.reason {
        case .remoteRegistration?, .remoteCall?, .notServed?, .broadcast?, .rpcbindDown?:
            remark(event.reason.map(Remark.unservable) ?? .enforced)
        case .stranger?, .noRule?, .noList?, .listOverUDP?, .transport?, .untrustedOwner?, .notListening?, .neverPort?,
            .rate?, .grantsFull?, .firewallFailed?, nil:
            remark(.enforced)
        }
    }

    private mutating func noteObserved(_ event: AuditEvent, _ client: IPAddress, _ time: Timestamp) {
        switch event.reason {
        // The last three reasons hold only for a while, and only for calls that the policy had permitted.
        case .stranger?, .noRule?, .noList?, .transport?, .listOverUDP?, .notListening?, .grantsFull?, .firewallFailed?:
            learn(event, client, time)
        // Such a call went on, and left another line.
        case .rate?: remark(.rate)
        case .untrustedOwner?: remark(.owner)
        case .neverPort?: remark(.neverPort)
        case .remoteRegistration?, .remoteCall?, .notServed?, .rpcbindDown?, .broadcast?:
            remark(event.reason.map(Remark.unservable) ?? .enforced)
        case nil: break
        }
    }

    private mutating func learn(_ event: AuditEvent, _ client: IPAddress, _ time: Timestamp) {
        switch event.procedure {
        case "null"?: keep(Self.add(event, client, time, to: &greetings, &entries, max: entriesMax))
        case "getport"?, "getaddr"?, "getversaddr"?, "getaddrlist"?: learnLookup(event, client, time)
        case "dump"?: learnListing(event, client, time)
        // These calls are denied also to a client that a rule names.
        case "gettime"?, "uaddr2taddr"?, "taddr2uaddr"?, "getstat"?: remark(.unservable(.notServed))
        default: break
        }
    }

    private mutating func learnLookup(_ event: AuditEvent, _ client: IPAddress, _ time: Timestamp) {
        guard let program = event.program else { return }
        if Self.isGreeting(event) {
            return keep(Self.add(event, client, time, to: &greetings, &entries, max: entriesMax))
        }
        guard program.rawValue > 0 else { return remark(.numberZero) }
        for transport in Self.transports(asked: event) {
            addLookup(ServiceKey(program, transport), event, client, time)
        }
    }

    private mutating func learnListing(_ event: AuditEvent, _ client: IPAddress, _ time: Timestamp) {
        guard event.transport == .tcp || listsOverUDP else { return remark(.listingOverUDP) }
        keep(Self.add(event, client, time, to: &listings, &entries, max: entriesMax))
    }

    private mutating func noteProbe(_ event: AuditEvent, _ client: IPAddress, _ time: Timestamp) {
        guard let program = event.program, let transport = event.transport else { return remark(.probed) }
        let key = ServiceKey(program, transport)
        guard probes[key] != nil || entries < entriesMax else { return remark(.tooMany) }
        keep(Self.add(event, client, time, to: &probes[key, default: [:]], &entries, max: entriesMax))
    }

    /// False if there is no room for one more.
    private static func add(
        _ event: AuditEvent, _ client: IPAddress, _ time: Timestamp, to table: inout [IPAddress: Evidence],
        _ entries: inout Int, max entriesMax: Int
    ) -> Bool {
        let evidence = Evidence.of(event, at: time)
        if table[client] != nil {
            table[client]? += evidence
            return true
        }
        guard entries < entriesMax else { return false }
        entries += 1
        table[client] = evidence
        return true
    }

    /// Without room not even a new service is noted.
    private mutating func addLookup(_ key: ServiceKey, _ event: AuditEvent, _ client: IPAddress, _ time: Timestamp) {
        guard lookups[key] != nil || entries < entriesMax else { return remark(.tooMany) }
        keep(Self.add(event, client, time, to: &lookups[key, default: [:]], &entries, max: entriesMax))
    }

    private mutating func keep(_ isKept: Bool) {
        if !isKept { remark(.tooMany) }
    }

    /// Numbers in a log may be anything.
    private mutating func remark(_ remark: Remark, _ count: Int = 1) {
        let (sum, overflows) = remarks[remark, default: 0].addingReportingOverflow(count)
        remarks[remark] = overflows ? .max : sum
    }

    /// The transports of the service that was asked for. GETADDRLIST asks for all. Version 2 names one, apart
    /// from the transport of the call; older logs, without `over`, don't tell it.
    private static func transports(asked event: AuditEvent) -> [Transport] {
        if let over = event.over { return [over] }
        if event.procedure != "getport", event.procedure != "getaddrlist", let transport = event.transport {
            return [transport]
        }
        return Transport.allCases
    }

    private static func isGreeting(_ event: AuditEvent) -> Bool {
        switch event.procedure {
        case "null"?: true
        case "getport"?, "getaddr"?, "getversaddr"?, "getaddrlist"?: event.program == .portmapper
        default: false
        }
    }
}
