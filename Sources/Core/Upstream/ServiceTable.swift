import Addresses
import Clock
import Firewall
import Portmapper

/// The services that may be guarded and opened: registered by a trusted owner, and reachable from outside.
///
/// ```
/// registered ──listens──▶ guarded ──mapping gone, same socket listens──▶ orphaned ──socket gone──▶ forgotten
///                           │  ▲                                            │     (a server's: refused, and moved)
///                           │  └───────────────registered anew──────────────┘
///                           └──mapping gone, nothing listens──▶ forgotten
/// ```
public struct ServiceTable: Sendable {
    /// A guarded port that has lost its mapping.
    struct Orphan: Hashable, Sendable {
        /// The programs for which the port was guarded last.
        var programs: Set<Program>
        /// The sockets that were guarded; `nil`: not known, any trusted socket will do.
        var sockets: Set<UInt64>?
        var registrations: [Registration] = []
        /// The orphan stays until then, whatever listens: it is the guard of an earlier run, and its services may
        /// be yet to come. Of a server: it stays until then after its last answer; `nil` until the registry is known.
        var lingersUntil: Instant?
        /// Its socket has been seen to listen since the mapping went.
        var isConfirmed = false
        /// No socket listens: the orphan lingers, and opens nothing.
        var isDead = false
    }

    /// The known facts of a port that an earlier run guarded.
    public struct Adopted: Hashable, Sendable {
        public var programs: Set<Program>
        /// The sockets that listened; `nil`: not known. Empty, for example, if they were of an earlier boot.
        public var sockets: Set<UInt64>?

        public init(programs: Set<Program> = [], sockets: Set<UInt64>? = nil) {
            self.programs = programs
            self.sockets = sockets
        }
    }

    /// A port's sockets, and the address families over which trusted ones are reached.
    private struct Listening {
        var state: ListenerState
        var ipv4: Bool
        var ipv6: Bool

        var isTrusted: Bool { ipv4 || ipv6 }

        func isTaken(ipv4 isIPv4: Bool) -> Bool {
            guard isIPv4 ? !ipv4 : !ipv6 else { return false }
            return state.sockets.contains { isIPv4 ? $0.ipv4 : $0.ipv6 }
        }
    }

    /// A port, as clients of one address family reach it.
    struct Reach: Hashable, Comparable, Sendable {
        var service: ServicePort
        var ipv4: Bool

        static func < (a: Self, b: Self) -> Bool {
            a.service == b.service ? a.ipv4 && !b.ipv4 : a.service < b.service
        }
    }

    /// The ports of trusted registrations, with their programs.
    private(set) var programs: [ServicePort: Set<Program>] = [:]
    private(set) var orphans: [ServicePort: Orphan] = [:]
    public private(set) var guarded: Set<ServicePort> = []
    private var listening: [ServicePort: Listening] = [:]
    private var registrations: [ServicePort: [Registration]] = [:]
    /// A server's addresses have registrations of their own.
    private struct Place: Hashable {
        var transport: Transport
        var server: ServerID

        init(_ transport: Transport, _ server: ServerID) { (self.transport, self.server) = (transport, server) }
    }

    /// Where trusted owners have registered each program.
    private var registered: [Program: Set<Place>] = [:]
    /// The programs for which each port was guarded last, kept also while it isn't guarded.
    private var lastPrograms: [Reach: Set<Program>] = [:]
    private let owners: Set<UInt32>?
    private let site: Site

    /// Ports come and go with restarts of their services.
    private static let lastProgramsMax = 8192
    /// Ports of each address of a server that are registered; and as many that were.
    static let placesMax = 512
    /// A program has a port for each of its versions at most.
    private static let portsOfProgramMax = 8
    /// How long the guard of an earlier run waits for its services.
    static let lingers: Duration = .seconds(120)

    /// - Parameter owners: the uids of the users that own trusted sockets; `nil`: any user's sockets are trusted.
    init(owners: Set<UInt32>? = [0], site: Site = .thisHost) {
        self.owners = owners
        self.site = site
    }

    /// The ports where listeners matter all the time: of registrations and orphans. A server's services are called
    /// when a client looks them up.
    var watched: [ServicePort] { (site.isThisHost ? Array(programs.keys) : []) + orphans.keys }

    /// The programs for which the port is, or may be, open.
    public func programs(at service: ServicePort) -> Set<Program> {
        if let programs = programs[service] {
            // The clients of a service that went must not reach the untrusted process that took its port.
            if let there = listening[service], !there.state.sockets.isEmpty, !there.isTrusted { return [] }
            return programs
        }
        guard let orphan = orphans[service], !orphan.isDead else { return [] }
        return orphan.programs.filter { !hasMoved($0, from: service) }
    }

    /// The programs for which clients of that address family may reach the port.
    public func programs(at service: ServicePort, ipv4: Bool) -> Set<Program> {
        isTaken(service, ipv4: ipv4) ? [] : programs(at: service)
    }

    /// Whether clients of that address family would reach the sockets of untrusted users, and no other.
    func isTaken(_ service: ServicePort, ipv4: Bool) -> Bool { listening[service]?.isTaken(ipv4: ipv4) ?? false }

    /// Whether the program has registered at another port of that address.
    ///
    /// - Parameter service: a port that isn't registered.
    private func hasMoved(_ program: Program, from service: ServicePort) -> Bool {
        registered[program]?.contains(Place(service.transport, service.server)) == true
    }

    /// The guarded ports at which trusted owners have registered the program; the first few.
    public func ports(of program: Program, over transport: Transport, at server: ServerID) -> [ServicePort] {
        guard registered[program]?.contains(Place(transport, server)) == true else { return [] }
        let ports = programs.filter {
            $0.key.transport == transport && $0.key.server == server && $0.value.contains(program)
                && guarded.contains($0.key)
        }
        return Array(ports.keys.sorted().prefix(Self.portsOfProgramMax))
    }

    /// The programs for which the port is guarded, also if nothing is open any more.
    public func lastPrograms(at service: ServicePort) -> Set<Program> {
        programs[service] ?? orphans[service]?.programs ?? []
    }

    /// - Returns: whether anything changed.
    mutating func registryRead(_ trusted: [Registration], at now: Instant) -> Bool {
        var fresh: [ServicePort: [Registration]] = [:]
        for registration in trusted where registration.program != .portmapper && !registration.isForThisHostOnly {
            for service in site.places(of: registration) where hasRoom(fresh.count) {
                fresh[service, default: []].append(registration)
            }
        }
        var isChanged = false
        for service in guarded
        where fresh[service] == nil && orphans[service] == nil && !isOnlySurveyed(service) {
            orphans[service] = Orphan(
                programs: programs[service] ?? [], sockets: site.isThisHost ? trustedSockets(at: service) : nil,
                registrations: registrations[service] ?? [],
                lingersUntil: site.isThisHost ? nil : now + site.linger)
            isChanged = true
        }
        if !site.isThisHost { dropOldestOrphans() }
        for service in fresh.keys where orphans.removeValue(forKey: service) != nil { isChanged = true }
        for service in orphans.keys where !site.isThisHost && orphans[service]?.lingersUntil == nil {
            orphans[service]?.lingersUntil = now + site.linger
        }
        var programs = fresh.mapValues { Set($0.map(\.program)) }
        if !site.isThisHost { Self.limitPorts(&programs) }
        registrations = fresh
        guard isChanged || programs != self.programs else { return false }
        self.programs = programs
        registered = [:]
        for (service, programs) in programs {
            for program in programs {
                registered[program, default: []].insert(Place(service.transport, service.server))
            }
        }
        listening = listening.filter { programs[$0.key] != nil || orphans[$0.key] != nil }
        return true
    }

    /// Each port of a program has a standing element for each range of clients, which the kernel's set then holds: a server
    /// that lists a program at very many ports must not make the other servers wait. The first ports of each program, at
    /// each address, may be opened; the others are guarded.
    private static func limitPorts(_ programs: inout [ServicePort: Set<Program>]) {
        guard programs.count > portsOfProgramMax else { return }
        var counts: [Program: [Place: Int]] = [:]
        for service in programs.keys.sorted() {
            let place = Place(service.transport, service.server)
            for program in programs[service] ?? [] {
                let count = counts[program, default: [:]][place, default: 0] + 1
                counts[program, default: [:]][place] = count
                if count > portsOfProgramMax { programs[service]?.remove(program) }
            }
        }
    }

    /// A server can list, and forget, as much as it likes: that must cost neither the other servers nor the saved guard.
    private func hasRoom(_ count: Int) -> Bool {
        site.isThisHost || count < Self.placesMax * site.addresses.count
    }

    /// Of the ports that a server has forgotten, the ones that would linger the shortest go first.
    private mutating func dropOldestOrphans() {
        let excess = orphans.count - Self.placesMax * site.addresses.count
        guard excess > 0 else { return }
        let oldest = orphans.sorted {
            ($0.value.lingersUntil ?? .zero, $0.key) < ($1.value.lingersUntil ?? .zero, $1.key)
        }
        for (service, _) in oldest.prefix(excess) { orphans[service] = nil }
    }

    /// Whether only a survey told of the mapping. A survey tells no owner: if a listing lacks the mapping,
    /// another user made it, and named a trusted user's socket.
    private func isOnlySurveyed(_ service: ServicePort) -> Bool {
        guard let registrations = registrations[service], !registrations.isEmpty else { return false }
        return registrations.allSatisfy { $0.owner == Survey.owner }
    }

    private func trustedSockets(at service: ServicePort) -> Set<UInt64> {
        Set((listening[service]?.state.sockets ?? []).filter(isTrusted).map(\.cookie))
    }

    private func isTrusted(_ socket: ListenerSocket) -> Bool { owners?.contains(socket.uid) ?? true }

    /// - Returns: whether anything changed.
    mutating func listenersInspected(_ states: [ServicePort: ListenerState], at now: Instant) -> Bool {
        var isChanged = false
        for (service, state) in states where programs[service] != nil || orphans[service] != nil {
            if listening[service]?.state != state {
                // A server's guard doesn't depend on it: only death, and the end of it, is told.
                let wasAlive = listening[service]?.isTrusted ?? true
                let trusted = state.sockets.filter(isTrusted)
                listening[service] = Listening(
                    state: state, ipv4: trusted.contains(where: \.ipv4), ipv6: trusted.contains(where: \.ipv6))
                if site.isThisHost || wasAlive == trusted.isEmpty { isChanged = true }
            }
            if orphans[service] != nil, orphanInspected(service, at: now) { isChanged = true }
        }
        return isChanged
    }

    /// - Returns: whether anything changed.
    private mutating func orphanInspected(_ service: ServicePort, at now: Instant) -> Bool {
        guard let orphan = orphans[service] else { return false }
        let there = trustedSockets(at: service)
        let theirs = orphan.sockets.map(there.intersection) ?? there
        guard site.isThisHost else { return serverOrphanCalled(service, orphan, answers: !theirs.isEmpty, at: now) }
        guard theirs.isEmpty else {
            guard !orphan.isConfirmed else { return false }
            orphans[service]?.isConfirmed = true
            orphans[service]?.isDead = false
            orphans[service]?.sockets = theirs
            orphans[service]?.lingersUntil = nil
            return true
        }
        if let until = orphan.lingersUntil, now < until, !isLeft(service, by: orphan) {
            orphans[service]?.isDead = true
            orphans[service]?.isConfirmed = false
            return !orphan.isDead
        }
        orphans[service] = nil
        listening[service] = nil
        return true
    }

    /// Nobody listens, and every program of the orphan has registered at another port. Its clients learn that only by a
    /// refusal: lockd's would let the time pass in which locks can be reclaimed.
    private func isLeft(_ service: ServicePort, by orphan: Orphan) -> Bool {
        isShut(service) && !orphan.programs.isEmpty && orphan.programs.allSatisfy { hasMoved($0, from: service) }
    }

    /// Whether it is known that nobody listens. A server's silence doesn't tell: another program may listen, or the server
    /// may be down.
    private func isShut(_ service: ServicePort) -> Bool {
        guard let state = listening[service]?.state else { return false }
        return site.isThisHost ? state.sockets.isEmpty : state.isRefused
    }

    /// A service that answers has only been forgotten. One that doesn't may be restarting, and keeps its clients for
    /// as long as it lingers, unless it has moved.
    private mutating func serverOrphanCalled(
        _ service: ServicePort, _ orphan: Orphan, answers: Bool, at now: Instant
    ) -> Bool {
        // A service that isn't called proves nothing by its silence, nor does it live by it.
        if answers, site.called.contains(service.transport) {
            orphans[service]?.lingersUntil = now + site.linger
            orphans[service]?.isConfirmed = true
            return !orphan.isConfirmed
        }
        let isOver = orphan.lingersUntil.map { now >= $0 } ?? false
        guard isOver || isLeft(service, by: orphan) else { return false }
        orphans[service] = nil
        listening[service] = nil
        return true
    }

    /// Guards the ports that are alive, that were alive when their mapping appeared, or that lost only their
    /// mapping. A server's ports are guarded whether or not they answer.
    ///
    /// - Returns: the ports that belong to other programs than before, or to untrusted users, each with the programs that
    ///   it has kept. Clients that were admitted to the former programs are not meant for the new ones.
    mutating func updateGuards(never: Set<UInt16>) -> [Reach: Set<Program>] {
        guarded = Set(
            programs.keys.filter {
                !never.contains($0.port)
                    && (!site.isThisHost || guarded.contains($0) || listening[$0]?.isTrusted == true)
            })
        guarded.formUnion(orphans.keys.filter { !never.contains($0.port) })
        var replaced: [Reach: Set<Program>] = [:]
        for service in guarded {
            let all = programs(at: service)
            for ipv4 in [true, false] {
                let reach = Reach(service: service, ipv4: ipv4)
                let programs = isTaken(service, ipv4: ipv4) ? [] : all
                if let last = lastPrograms[reach], !last.isSubset(of: programs) {
                    replaced[reach] = last.intersection(programs)
                }
                lastPrograms[reach] = programs
            }
        }
        if lastPrograms.count > Self.lastProgramsMax {
            lastPrograms = lastPrograms.filter { guarded.contains($0.key.service) }
        }
        return replaced
    }

    /// Takes over the guard of an earlier run: each port stays guarded while its sockets listen, whatever rpcbind says.
    mutating func adopt(guarded: [ServicePort: Adopted], at now: Instant) {
        self.guarded = Set(guarded.keys)
        for (service, adopted) in guarded {
            orphans[service] = Orphan(
                programs: adopted.programs, sockets: adopted.sockets,
                lingersUntil: site.isThisHost ? now + Self.lingers : nil)
        }
    }

    /// Whether a client of that address family reaches a trusted user's listening socket.
    public func isAlive(_ service: ServicePort, ipv4: Bool) -> Bool {
        guard let there = listening[service] else { return false }
        return ipv4 ? there.ipv4 : there.ipv6
    }

    /// Whether a trusted user's socket listens; `nil`: the port was not inspected.
    public func isListening(_ service: ServicePort) -> Bool? { listening[service]?.isTrusted }

    /// The untrusted users that have sockets listening at the port.
    public func foreignOwners(at service: ServicePort) -> [UInt32] {
        Set((listening[service]?.state.sockets ?? []).filter { !isTrusted($0) }.map(\.uid)).sorted()
    }

    /// The sockets that listen at each guarded port, so that a later run knows them.
    public var guardedSockets: [ServicePort: Set<UInt64>] {
        guard site.isThisHost else { return [:] }
        return Dictionary(uniqueKeysWithValues: guarded.map { ($0, orphans[$0]?.sockets ?? trustedSockets(at: $0)) })
    }
}
