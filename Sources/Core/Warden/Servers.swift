import Addresses
import Calls
import Configuration
import Firewall
import Policy
import Portmapper
import Upstream

/// A server: this host, or one behind it. The policy about it, and its portmapper as far as it is known.
struct Server: ~Copyable, Sendable {
    /// `nil`: this host.
    let name: String?
    var rules: Rulebook
    var upstream: Upstream
    /// The period of the snapshot.
    let refresh: Duration
}

/// This host, and the servers behind it.
struct Servers: ~Copyable, Sendable {
    /// An array has no elements that can't be copied. The Warden alone has the box, and isn't copied itself: so the box
    /// is sent with the Warden.
    private final class Box: @unchecked Sendable {
        var server: Server

        init(_ server: consuming Server) { self.server = server }
    }

    /// Not in a box, since each call to this host uses it.
    private var thisHost: Server
    private let others: [Box]
    private let ids: [IPAddress: ServerID]
    /// The servers' own addresses, from which they call their clients back.
    private let callers: [IPAddress: ServerID]
    private let isCaller: Set<ServerID>
    /// The clients that servers may call back by policy: those that may have nlockmgr opened there.
    private(set) var calledBack: Set<CallersKey> = []
    /// By the raw value of a ``ServerID``.
    private let numbers: [ServerNumber]
    /// The own address of each ``ServerID``, by its raw value; `nil`: this host.
    private let hosts: [IPAddress?]
    /// The client that was asked about last, and whether a rule names it: a denial asks five times about one client.
    private var lastListed: (client: IPAddress, isListed: Bool)?

    init(_ settings: Settings, _ policies: PolicySet, trustedOwners: TrustedOwners) {
        thisHost = Server(
            name: nil, rules: Rulebook(settings: settings, policies: policies),
            upstream: Upstream(trustedOwners: trustedOwners), refresh: settings.rpcbind.refresh)
        var others: [Box] = []
        var ids: [IPAddress: ServerID] = [:]
        var callers: [IPAddress: ServerID] = [:]
        var numbers: [ServerNumber] = [0]
        var hosts: [IPAddress?] = [nil]
        let gateway = settings.gateway ?? Settings.Gateway()
        let numbered = gateway.numbered
        for (index, server) in gateway.servers.enumerated() {
            var addresses: [Site.Address] = []
            for (id, host, own, _) in numbered.dropFirst(numbers.count - 1).prefix(server.addressCount) {
                // Packets to a translated address come to the server's own one, before they are forwarded.
                ids[host] = own
                numbers.append(index + 1)
                hosts.append(host)
                guard own == id else { continue }
                addresses.append(Site.Address(id: id, host: host))
                if server.callbacks == .auto { callers[host] = id.callback }
            }
            let upstream = Upstream(
                trustedOwners: TrustedOwners(atServer: server.rpcbind.owners),
                site: Site(addresses: addresses, linger: gateway.linger, called: server.calledTransports))
            let rules = Rulebook(settings: settings, policies: policies, server: index + 1)
            others.append(
                Box(Server(name: server.name, rules: rules, upstream: upstream, refresh: server.rpcbind.refresh)))
        }
        (self.others, self.ids, self.callers, self.numbers) = (others, ids, callers, numbers)
        self.hosts = hosts
        isCaller = Set(callers.values)
        findCalledBack()
    }

    subscript(number: ServerNumber) -> Server {
        _read {
            if number == 0 { yield thisHost } else { yield others[number - 1].server }
        }
        _modify {
            if number == 0 { yield &thisHost } else { yield &others[number - 1].server }
        }
    }

    // What each call asks. An access by the subscript is a coroutine, which allocates memory (Swift 6.3).

    func rules(about number: ServerNumber) -> Rulebook {
        number == 0 ? thisHost.rules : others[number - 1].server.rules
    }

    /// Whether any rule names the client.
    mutating func lists(_ client: IPAddress) -> Bool {
        if let last = lastListed, last.client == client { return last.isListed }
        let isListed = thisHost.rules.lists(client)
        lastListed = (client, isListed)
        return isListed
    }

    func name(_ number: ServerNumber) -> String? { number == 0 ? nil : others[number - 1].server.name }

    @inline(__always)
    mutating func isVersion2Only(_ number: ServerNumber) -> Bool {
        number != 0 && others[number - 1].server.upstream.isVersion2Only
    }

    mutating func question(for call: PortmapperCall, from peer: Peer, to number: ServerNumber) -> Question? {
        number == 0
            ? thisHost.upstream.question(for: call, from: peer)
            : others[number - 1].server.upstream.question(for: call, from: peer)
    }

    /// The programs that are registered at the service's port, as clients of that address family reach it; `nil`: the
    /// registry isn't known.
    mutating func programs(at service: ServicePort, ipv4: Bool) -> Set<Program>? {
        let number = number(of: service.server)
        return number == 0
            ? thisHost.upstream.registeredPrograms(at: service, ipv4: ipv4)
            : others[number - 1].server.upstream.registeredPrograms(at: service, ipv4: ipv4)
    }

    mutating func match(
        _ lookUp: LookUp, at service: ServicePort, of number: ServerNumber
    ) -> MatchedRegistration? {
        number == 0
            ? thisHost.upstream.match(lookUp, at: service)
            : others[number - 1].server.upstream.match(lookUp, at: service)
    }

    /// Whether a client of that address family reaches the service, as far as is known.
    mutating func isAlive(_ service: ServicePort, ipv4: Bool) -> Bool {
        let number = number(of: service.server)
        return number == 0
            ? thisHost.upstream.services.isAlive(service, ipv4: ipv4)
            : others[number - 1].server.upstream.services.isAlive(service, ipv4: ipv4)
    }

    var count: Int { 1 + others.count }

    /// This host, then the others.
    var indices: Range<ServerNumber> { 0..<count }

    /// The server's own address that the peer asks, or from which a server asks its client; ``ServerID/thisHost``
    /// otherwise.
    @inline(__always)
    func asked(by peer: Peer) -> ServerID {
        guard !ids.isEmpty else { return .thisHost }
        if let server = ids[peer.asked.host] { return server }
        return peer.isIntercepted ? callers[peer.address] ?? .thisHost : .thisHost
    }

    private mutating func findCalledBack() {
        var keys: Set<CallersKey> = []
        for (host, caller) in callers {
            let clients = rules(about: number(of: caller)).policy.clients(opening: .nlockmgr)
            for range in clients where range.first.isIPv4 == host.isIPv4 {
                keys.insert(CallersKey(server: caller.caller, clients: range))
            }
        }
        calledBack = keys
    }

    /// Whether policy lets the server call the client back. A call to another server is none of these.
    func permitsCallback(of client: IPAddress, by caller: ServerID) -> Bool {
        isCaller.contains(caller) && ids[client] == nil
            && rules(about: number(of: caller)).policy.opens(.nlockmgr, to: client)
    }

    /// An ID that no server has counts as this host's. Callbacks are their server's.
    @inline(__always)
    func number(of id: ServerID) -> ServerNumber {
        if id == .thisHost { return 0 }
        let index = Int(id.caller.rawValue)
        return index >= numbers.count ? 0 : numbers[index]
    }

    /// The IDs of the server's addresses; `nil`: of all servers.
    func ids(of number: ServerNumber?) -> Set<ServerID> {
        let wanted = numbers.indices.filter { number == nil || numbers[$0] == number }
        return Set(wanted.map { ServerID(rawValue: UInt16($0)) })
    }

    func name(of id: ServerID) -> String? { name(number(of: id)) }

    /// The server's address; `nil`: this host.
    func host(of id: ServerID) -> IPAddress? {
        hosts.indices.contains(Int(id.rawValue)) ? hosts[Int(id.rawValue)] : nil
    }

    /// The server with this address; `nil`: none here has it.
    func id(of host: IPAddress?) -> ServerID? { host.map { ids[$0] } ?? .thisHost }

    mutating func policyReplaced(_ settings: Settings, _ policies: PolicySet) {
        for number in indices {
            self[number].rules = Rulebook(settings: settings, policies: policies, server: number)
            self[number].upstream.policyReplaced()
        }
        lastListed = nil
        findCalledBack()
    }
}

extension Settings.Server {
    fileprivate var addressCount: Int { addresses.count + aliases.count }

    fileprivate var calledTransports: Set<Transport> {
        switch liveness {
        case .call: Set(Transport.allCases)
        case .connect: [.tcp]
        case .off: []
        }
    }
}
