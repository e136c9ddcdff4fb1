import Addresses
import Configuration
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
    /// By the raw value of a ``ServerID``.
    private let numbers: [ServerNumber]

    init(_ settings: Settings, _ policies: PolicySet, trustedOwners: TrustedOwners) {
        let thisHost = Server(
            name: nil, rules: Rulebook(settings: settings, policies: policies),
            upstream: Upstream(trustedOwners: trustedOwners), refresh: settings.rpcbind.refresh)
        all = [thisHost]
        var ids: [IPAddress: ServerID] = [:]
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
                if own == id { addresses.append(Site.Address(id: id, host: host)) }
            }
            all.append(
                Server(
                    name: server.name, rules: Rulebook(settings: settings, policies: policies, server: index + 1),
                    upstream: Upstream(
                        trustedOwners: TrustedOwners(atServer: server.rpcbind.owners),
                        site: Site(addresses: addresses, linger: gateway.linger)),
                    refresh: server.rpcbind.refresh))
        }
        (self.ids, self.numbers) = (ids, numbers)
    }

    subscript(number: ServerNumber) -> Server {
        _read { yield all[number] }
        _modify { yield &all[number] }
    }

    var count: Int { all.count }

    /// This host, then the others.
    var indices: Range<ServerNumber> { all.indices }

    /// The server's own address that is asked by this one; ``ServerID/thisHost`` if it is no server's.
    func asked(_ host: IPAddress) -> ServerID { ids.isEmpty ? .thisHost : ids[host] ?? .thisHost }

    /// An ID that no server has counts as this host's.
    func number(of id: ServerID) -> ServerNumber {
        id == .thisHost || Int(id.rawValue) >= numbers.count ? 0 : numbers[Int(id.rawValue)]
    }

    func name(of id: ServerID) -> String? { id == .thisHost ? nil : all[number(of: id)].name }

    mutating func policyReplaced(_ settings: Settings, _ policies: PolicySet) {
        for number in all.indices {
            all[number].rules = Rulebook(settings: settings, policies: policies, server: number)
            all[number].upstream.policyReplaced()
        }
    }
}

extension Settings.Server {
    fileprivate var addressCount: Int { addresses.count + aliases.count }
}
