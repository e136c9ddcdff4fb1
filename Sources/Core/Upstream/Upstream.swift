import Addresses
import AuditTrail
import Calls
import Clock
import Firewall
import Policy
import Portmapper

/// One portmapper as far as it is known: its registrations, their services, and whether they listen.
///
/// Of this host's services the listening sockets are looked at. A server's services are called (``questions(of:)``).
public struct Upstream: ~Copyable, Sendable {
    /// `nil` until rpcbind has answered once.
    public private(set) var registry: Registry? {
        didSet {
            listings.clear()
            lastMatch = nil
        }
    }
    /// The listing that ``registry`` was made from.
    private var listing = Listing()
    /// `nil` until the first attempt has ended.
    public private(set) var isReachable: Bool?
    /// When it became reachable, or unreachable; `nil` until the first attempt has ended.
    public private(set) var since: Instant?
    public private(set) var services: ServiceTable
    let site: Site
    private let trustedOwners: TrustedOwners
    /// rpcbind keeps no list of version 2, which happens where /etc/services lacks sunrpc. GETPORT then answers 0
    /// for every program, so look-ups are answered from DUMP.
    private var isVersion2ListMissing = false
    /// Set while the registry can't be read though rpcbind lives.
    private var survey: Survey?
    private var nextRefresh = Instant.zero
    /// Calls that share an answer share the registration that it came from.
    var lastMatch: MatchedRegistration?
    var listings = ListingCache()
    /// The looks at listeners that are under way.
    private var looks: [Look.ID: Look] = [:]
    /// The look that the current event will ask for.
    private var nextLook = Look()
    private var lastLook = 0
    /// Whether the services have been settled since registry, listeners or policy changed.
    private var isSettled = false
    private var staleLogged: Set<ServicePort> = []
    private var orphansLogged: Set<ServicePort> = []
    /// Logged registrations over netids that no packet filter sees.
    private var unguardableLogged: Set<RPCB> = []

    /// The snapshot takes no more than one part in so many of rpcbind's time, and of this process's. rpcbind answers
    /// no other call while it lists, and nor does this process while the kernel searches the host's sockets. Local
    /// users can make lists long and sockets many.
    private static let snapshotTimeShare = 8
    /// rpcbind is given no longer for a listing (`CallQueue.listingTimeMax`): the rest was a stall of this process.
    private static let snapshotTimeMax: Duration = .seconds(10)

    public init(trustedOwners: TrustedOwners, site: Site = .thisHost) {
        self.site = site
        self.trustedOwners = trustedOwners
        // A server's sockets aren't seen: its NULL calls tell that it lives, and no uids.
        services = ServiceTable(owners: site.isThisHost ? trustedOwners.uids : nil, site: site)
    }

    /// The programs that are registered at the service's port; `nil`: the registry isn't known.
    public mutating func registeredPrograms(at service: ServicePort, ipv4: Bool) -> Set<Program>? {
        registry == nil ? nil : services.programs(at: service, ipv4: ipv4)
    }

    public func isTrusted(_ registration: Registration) -> Bool { isTrusted(owner: registration.owner) }

    /// Version 2 tells no owners. A survey's registrations prove theirs by their sockets.
    func isTrusted(owner: String) -> Bool {
        trustedOwners.contains(owner) || owner == Survey.owner && site.isThisHost || isVersion2Only
    }

    /// The server's portmapper serves version 2 alone.
    public var isVersion2Only: Bool { listing.version == .v2 }

    /// The number of registrations that rpcbind listed and that were not kept.
    public var omittedCount: Int { listing.omitted }
    public var orphanCount: Int { orphansLogged.count }

    // MARK: The registry

    /// Whether the snapshot is due; the next one is then due after this period.
    public mutating func takesRefresh(at now: Instant, every period: Duration) -> Bool {
        guard now >= nextRefresh else { return false }
        nextRefresh = now + period
        return true
    }

    /// The snapshot took this long: rpcbind's listing, or the look at the listeners.
    public mutating func spare(after latency: Duration, at now: Instant) {
        nextRefresh = max(nextRefresh, now + min(latency, Self.snapshotTimeMax) * Self.snapshotTimeShare)
    }

    /// rpcbind listed its registrations.
    /// - Returns: the event, if it hadn't answered before.
    public mutating func reached(at now: Instant) -> AuditEvent? {
        survey = nil
        guard isReachable != true else { return nil }
        (isReachable, since) = (true, now)
        return AuditEvent(.rpcbindUp)
    }

    /// rpcbind gave no list. If it may live nevertheless, policy's programs are asked for one by one.
    /// - Returns: the questions to ask, and the event, if it had answered before.
    public mutating func failed(
        _ failure: RpcbindFailure, programs: Set<Program>, at now: Instant
    ) -> (questions: [Mapping], event: AuditEvent?) {
        let questions = startSurvey(of: programs, after: failure)
        // rpcbind may come back as another process, with a list of version 2.
        isVersion2ListMissing = false
        guard isReachable != false else { return (questions, nil) }
        (isReachable, since) = (false, now)
        let surveyed = survey?.waiting.isEmpty == false ? "; policy's programs are asked for one by one" : ""
        return (questions, AuditEvent(.rpcbindDown, detail: failure.description + surveyed))
    }

    private mutating func startSurvey(of programs: Set<Program>, after failure: RpcbindFailure) -> [Mapping] {
        // A survey tells no owners, and a server's sockets can't tell them.
        guard site.isThisHost else { return [] }
        switch failure {
        case .timedOut, .refused: break
        case .unreachable, .busy: return []
        }
        guard survey?.waiting.isEmpty ?? true else { return [] }
        let survey = Survey(of: programs, knowing: registry)
        self.survey = survey
        return survey.waiting.sorted { ($0.program, $0.protocolNumber) < ($1.program, $1.protocolNumber) }
    }

    /// A question of the survey was answered.
    /// - Parameter port: `nil`: rpcbind gave no answer; 0: not registered.
    /// - Returns: the listing to go on with, if the survey has ended and found anything new.
    public mutating func surveyed(_ mapping: Mapping, at port: UInt32?) -> Listing? {
        guard survey?.waiting.contains(mapping) == true else { return nil }
        survey?.answered(mapping, at: port)
        guard let new = survey?.result(beyond: registry) else { return nil }
        // A find takes the place of an earlier survey's: a local user may move its programs without end.
        let kept = listing.registrations.filter { old in
            old.owner != Survey.owner || !new.contains { $0.program == old.program && $0.netID == old.netID }
        }
        return Listing(kept + new, omitted: listing.omitted)
    }

    /// rpcbind's own mapping was asked for, which is in its list of version 2 if it keeps one.
    public mutating func version2Checked(_ port: UInt32) { isVersion2ListMissing = port == 0 }

    public static let version2Check = Mapping(
        program: .portmapper, version: 2, protocolNumber: UInt32(Transport.tcp.rawValue), port: 0)

    /// Takes over a listing.
    /// - Returns: the changes to log; `nil` if the listing equals the last one.
    public mutating func read(_ listing: Listing, at now: Instant) -> [AuditEvent]? {
        // Most listings equal the last one, and needn't be parsed.
        guard registry == nil || listing != self.listing else { return nil }
        self.listing = listing
        let fresh = Registry(listing.registrations)
        guard fresh != registry else { return [] }
        let events = changes(from: registry, to: fresh)
        registry = fresh
        let trusted = fresh.registrations.filter { isTrusted($0) }
        if services.registryRead(trusted, at: now) { isSettled = false }
        return events
    }

    public mutating func policyReplaced() {
        listings.clear()
        isSettled = false
    }

    private mutating func changes(from old: Registry?, to new: Registry) -> [AuditEvent] {
        let before = Set(old?.registrations ?? [])
        let after = Set(new.registrations)
        var events: [AuditEvent] = []
        for registration in new.registrations where !before.contains(registration) {
            guard registration.program != .portmapper, registration.service != nil else { continue }
            guard isTrusted(registration) else {
                events.append(AuditEvent(.untrustedRegistration, registration))
                continue
            }
            if old != nil { events.append(AuditEvent(.registered, registration)) }
        }
        for registration in old?.registrations ?? [] where !after.contains(registration) {
            guard registration.program != .portmapper, registration.service != nil else { continue }
            events.append(AuditEvent(.unregistered, registration))
        }
        for rpcb in new.unguardable where !unguardableLogged.contains(rpcb) {
            var event = AuditEvent(.unguardable, detail: "\(rpcb.netID) at \(rpcb.address): no packet filter sees it")
            event.program = rpcb.program
            event.version = rpcb.version
            events.append(event)
        }
        unguardableLogged = Set(new.unguardable)
        return events
    }

    // MARK: Services

    /// Takes over the guard of an earlier run: each port stays guarded while its sockets listen, whatever rpcbind
    /// says.
    public mutating func adopt(_ guarded: [ServicePort: ServiceTable.Adopted], at now: Instant) {
        services.adopt(guarded: guarded, at: now)
    }

    /// Brings the guarded ports in line with registry, listeners and policy.
    /// - Returns: the findings to log, and the ports that belong to other programs than before, each with the
    ///   programs that it has kept. `nil` if nothing changed, or as long as there is no registry.
    public mutating func settle(never: Set<UInt16>) -> (events: [AuditEvent], replaced: [Replaced])? {
        guard !isSettled, registry != nil else { return nil }
        isSettled = true
        let events = stale() + orphaned()
        let replaced = services.updateGuards(never: never).sorted { $0.key < $1.key }
        return (events, replaced.map { Replaced(service: $0.key.service, ipv4: $0.key.ipv4, kept: $0.value) })
    }

    /// A port that belongs to other programs than before, for clients of one address family.
    public struct Replaced: Hashable, Sendable {
        public var service: ServicePort
        public var ipv4: Bool
        /// The programs that it has kept.
        public var kept: Set<Program>
    }

    private mutating func stale() -> [AuditEvent] {
        let stale = services.programs.keys.filter { services.isListening($0) == false || takenFamily(of: $0) != nil }
        defer { staleLogged = Set(stale) }
        return stale.sorted().filter { !staleLogged.contains($0) }.map { service in
            let foreign = services.foreignOwners(at: service).map(String.init).joined(separator: ", ")
            let family = takenFamily(of: service).map { " over \($0)" } ?? ""
            let detail =
                foreign.isEmpty ? "nothing listens at \(service)" : "\(service) is held by uid \(foreign)\(family)"
            var event = AuditEvent(.staleRegistration, detail: detail)
            event.program = services.programs[service]?.min()
            return event
        }
    }

    /// Of a port at which a trusted user listens, over the other one.
    private func takenFamily(of service: ServicePort) -> String? {
        guard services.isListening(service) == true else { return nil }
        return services.isTaken(service, ipv4: true) ? "IPv4" : services.isTaken(service, ipv4: false) ? "IPv6" : nil
    }

    private mutating func orphaned() -> [AuditEvent] {
        let orphans = services.orphans.filter(\.value.isConfirmed)
        defer { orphansLogged = Set(orphans.keys) }
        return orphans.keys.sorted().filter { !orphansLogged.contains($0) }.map { service in
            var event = AuditEvent(
                .orphaned, detail: "\(service) is no longer registered, but its socket still listens: it stays guarded")
            event.program = orphans[service]?.programs.min()
            return event
        }
    }

    /// Whether these clients reach the port, and there no sockets of untrusted users alone. An address of a server is
    /// reached by clients of its family.
    public func isReached(_ service: ServicePort, by clients: AddressRange) -> Bool {
        let isIPv4 = clients.first.isIPv4
        guard site.isThisHost else { return site.address(service.server)?.host.isIPv4 == isIPv4 }
        return !services.isTaken(service, ipv4: isIPv4)
    }

    // MARK: Looks at listeners

    /// A look at the listeners, and the exchanges that wait for it.
    public struct Look: Sendable {
        public typealias ID = Int

        public fileprivate(set) var services: Set<ServicePort> = []
        /// Exchanges that asked for the registry, which was read just before.
        public fileprivate(set) var readers: [Int] = []
        /// Exchanges that wait to know whether their services listen.
        public fileprivate(set) var openers: [Int] = []
        public fileprivate(set) var isOfSnapshot = false
        /// Whether a look is due, whether or not it has any services.
        fileprivate var isDue = false
        /// The programs that openers are about, each at its port.
        fileprivate var programs: Set<ServiceOpening> = []
    }

    var isLooking: Bool { !looks.isEmpty || nextLook.isDue }

    /// Adds the listeners of all watched ports to the next look, after which these exchanges go on.
    public mutating func lookAtAll(for exchanges: [Int] = [], forSnapshot isOfSnapshot: Bool = false) {
        nextLook.services.formUnion(services.watched)
        nextLook.readers += exchanges
        if isOfSnapshot { nextLook.isOfSnapshot = true }
        nextLook.isDue = true
    }

    /// The exchange goes on once these ports were looked at.
    public mutating func look(at openings: [ServiceOpening], for exchange: Int) {
        look(at: openings)
        nextLook.openers.append(exchange)
    }

    /// The exchange, which asked for the registry, goes on once these ports were looked at.
    public mutating func look(at openings: [ServiceOpening], forReader exchange: Int) {
        look(at: openings)
        nextLook.readers.append(exchange)
    }

    /// These ports are looked at, though no call waits for it.
    public mutating func look(at openings: [ServiceOpening]) {
        nextLook.services.formUnion(openings.map(\.port))
        if !site.isThisHost { nextLook.programs.formUnion(openings) }
        nextLook.isDue = true
    }

    /// The look that is due. Exchanges that one event makes look share it.
    public mutating func takeLook() -> (id: Look.ID, services: Set<ServicePort>)? {
        guard nextLook.isDue else { return nil }
        lastLook += 1
        looks[lastLook] = nextLook
        defer { nextLook = Look() }
        return (lastLook, nextLook.services)
    }

    /// The NULL calls that tell the look at a server's services.
    public func questions(of id: Look.ID) -> [LivenessQuestion] {
        guard let look = looks[id] else { return [] }
        let asked = look.programs.map { ($0.program, $0.port) }
        let others = look.services.subtracting(asked.map(\.1)).sorted().flatMap { service in
            services.lastPrograms(at: service).sorted().prefix(1).map { ($0, service) }
        }
        return (asked + others).compactMap { program, service in
            site.address(service.server).map {
                LivenessQuestion(
                    address: $0.host, service: service, program: program, version: version(of: program, at: service))
            }
        }
    }

    /// A version that is registered at the port. Any version is an answer: a program without it tells the ones that it
    /// has.
    private func version(of program: Program, at service: ServicePort) -> UInt32 {
        let port = service.at(.thisHost)
        return registry?.registrations(of: program).last { $0.service == port }?.version ?? 1
    }

    /// The look has ended.
    /// - Parameter states: `nil`: the listeners couldn't be inspected.
    /// - Returns: the look, with the exchanges that waited for it.
    public mutating func looked(_ id: Look.ID, _ states: [ServicePort: ListenerState]?, at now: Instant) -> Look? {
        let look = looks.removeValue(forKey: id)
        if var states {
            // What can't be called at a server doesn't answer.
            if !site.isThisHost {
                for service in look?.services ?? [] where states[service] == nil { states[service] = ListenerState() }
            }
            if services.listenersInspected(states, at: now) { isSettled = false }
        }
        return look
    }

    // MARK: Questions

    /// The question for rpcbind: of a look-up, only program, version and protocol go there.
    @inline(__always)
    public mutating func question(for call: PortmapperCall, from peer: Peer) -> Question? {
        Question(for: call, from: peer, readingRegistry: isVersion2ListMissing)
    }
}

extension Question {
    /// - Parameter readingRegistry: whether GETPORT is of no use.
    fileprivate init?(for call: PortmapperCall, from peer: Peer, readingRegistry: Bool) {
        switch call {
        case .getPort(let mapping):
            // rpcbind knows no other protocols.
            guard let transport = mapping.transport else { return nil }
            self = Self.lookup(
                mapping.program, mapping.version, over: NetID(transport, isIPv4: true), readingRegistry)
        case .getAddress(_, let rpcb):
            self = Self.lookup(rpcb.program, rpcb.version, over: peer.netID, readingRegistry)
        // GETPORT is of no use for GETVERSADDR: it falls back to other versions.
        case .getVersionAddress, .dump, .getAddressList: self = .registry
        case .set, .unset, .setMapping, .unsetMapping: self = .registration(call)
        case .null, .callIt, .broadcast, .indirect, .getTime, .universalToTransportAddress,
            .transportToUniversalAddress, .getStatistics:
            return nil
        }
    }

    /// GETPORT answers for IPv4 netids alone; over the unix socket rpcbind's GETADDR is of no use.
    private static func lookup(
        _ program: Program, _ version: UInt32, over netID: NetID, _ readingRegistry: Bool
    ) -> Question {
        guard netID.isIPv4, let transport = netID.transport, !readingRegistry else { return .registry }
        return .port(
            Mapping(program: program, version: version, protocolNumber: UInt32(transport.rawValue), port: 0))
    }
}

extension AuditEvent {
    fileprivate init(_ kind: Kind, _ registration: Registration) {
        self.init(kind)
        program = registration.program
        version = registration.version
        let place = registration.service.map(String.init(describing:)) ?? registration.addressText
        let owner = registration.owner
        detail = "\(place) (\(registration.netID.rawValue)) by \(owner)"
        // `unknown` is any user that came over loopback; only a uid can be made trusted.
        if kind == .untrustedRegistration, UInt32(owner) != nil {
            detail? += "; trusted if rpcbind.owners has \"\(owner)\""
        }
    }
}
