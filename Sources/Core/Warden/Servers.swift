import Addresses
import Calls
import Configuration
import Firewall
import Policy
import Portmapper
import Upstream

/// A server: this host, or one behind it. The policy about it, and its portmapper as far as it is known.
struct Server: Sendable {
    /// `nil`: this host.
    let name: String?
    var rules: Rulebook
    var upstream: Upstream
    /// The period of the snapshot.
    let refresh: Duration
}

/// This host, and the servers behind it.
struct Servers: Sendable {
    private var all: [Server]
    private let ids: [IPAddress: ServerID]
    /// The servers' own addresses, from which they call their clients back.
    private let callers: [IPAddress: ServerID]
    private let isCaller: Set<ServerID>
    /// The clients that servers may call back by policy: those that may have nlockmgr opened there.
    private(set) var calledBack: Set<CallersKey> = []
    /// By the raw value of a ``ServerID``.
    private let numbers: [ServerNumber]

    init(_ settings: Settings, _ policies: PolicySet, trustedOwners: TrustedOwners) {
        let thisHost = Server(
            name: nil, rules: Rulebook(settings: settings, policies: policies),
            upstream: Upstream(trustedOwners: trustedOwners), refresh: settings.rpcbind.refresh)
        all = [thisHost]
        var ids: [IPAddress: ServerID] = [:]
        var callers: [IPAddress: ServerID] = [:]
        var numbers: [ServerNumber] = [0]
        let gateway = settings.gateway ?? Settings.Gateway()
        let numbered = gateway.numbered
        for (index, server) in gateway.servers.enumerated() {
            var addresses: [Site.Address] = []
            for (id, host, _) in numbered.dropFirst(numbers.count - 1).prefix(server.addressCount) {
                // Packets to a translated address come to the server's own one, before they are forwarded.
                let own = gateway.translated(id)
                ids[host] = own
                numbers.append(index + 1)
                guard own == id else { continue }
                addresses.append(Site.Address(id: id, host: host))
                if server.callbacks == .auto { callers[host] = id.callback }
            }
            all.append(
                Server(
                    name: server.name, rules: Rulebook(settings: settings, policies: policies, server: index + 1),
                    upstream: Upstream(
                        trustedOwners: TrustedOwners(atServer: server.rpcbind.owners),
                        site: Site(addresses: addresses, linger: gateway.linger)),
                    refresh: server.rpcbind.refresh))
        }
        (self.ids, self.callers, self.numbers) = (ids, callers, numbers)
        isCaller = Set(callers.values)
        findCalledBack()
    }

    subscript(number: ServerNumber) -> Server {
        _read { yield all[number] }
        _modify { yield &all[number] }
    }

    var count: Int { all.count }

    /// This host, then the others.
    var indices: Range<ServerNumber> { all.indices }

    /// The server's own address that the peer asks, or from which a server asks its client; ``ServerID/thisHost``
    /// otherwise.
    func asked(by peer: Peer) -> ServerID {
        guard !ids.isEmpty else { return .thisHost }
        if let server = ids[peer.asked.host] { return server }
        return peer.isIntercepted ? callers[peer.address] ?? .thisHost : .thisHost
    }

    private mutating func findCalledBack() {
        var keys: Set<CallersKey> = []
        for (host, caller) in callers {
            let clients = all[number(of: caller)].rules.policy.clients(opening: .nlockmgr)
            for range in clients where range.first.isIPv4 == host.isIPv4 {
                keys.insert(CallersKey(server: caller.caller, clients: range))
            }
        }
        calledBack = keys
    }

    /// Whether policy lets the server call the client back. A call to another server is none of these.
    func permitsCallback(of client: IPAddress, by caller: ServerID) -> Bool {
        isCaller.contains(caller) && ids[client] == nil
            && all[number(of: caller)].rules.policy.opens(.nlockmgr, to: client)
    }

    /// An ID that no server has counts as this host's. Callbacks are their server's.
    func number(of id: ServerID) -> ServerNumber {
        if id == .thisHost { return 0 }
        let index = Int(id.caller.rawValue)
        return index >= numbers.count ? 0 : numbers[index]
    }

    func name(of id: ServerID) -> String? { id == .thisHost ? nil : all[number(of: id)].name }

    mutating func policyReplaced(_ settings: Settings, _ policies: PolicySet) {
        for number in all.indices {
            all[number].rules = Rulebook(settings: settings, policies: policies, server: number)
            all[number].upstream.policyReplaced()
        }
        findCalledBack()
    }
}

extension Settings.Server {
    fileprivate var addressCount: Int { addresses.count + aliases.count }
}
