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
        for (index, server) in (settings.gateway?.servers ?? []).enumerated() {
            let addresses = server.sites(firstID: numbers.count)
            for address in addresses { ids[address.asked] = address.id }
            numbers += addresses.map { _ in index + 1 }
            all.append(
                Server(
                    name: server.name, rules: Rulebook(settings: settings, policies: policies, server: index + 1),
                    upstream: Upstream(
                        trustedOwners: TrustedOwners(of: server.rpcbind.owners),
                        site: Site(addresses: addresses, linger: settings.gateway?.linger ?? .zero)),
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

    /// The address of a server that was asked; ``ServerID/thisHost`` if it is no server's.
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
    /// The server's addresses, and those that are translated to the first of them, with successive IDs.
    fileprivate func sites(firstID: Int) -> [Site.Address] {
        let own = addresses.map { ($0, $0) }
        let translated = aliases.map { ($0, addresses.first ?? $0) }
        return (own + translated).enumerated().map { offset, pair in
            Site.Address(id: ServerID(rawValue: UInt16(firstID + offset)), asked: pair.0, own: pair.1)
        }
    }
}

extension TrustedOwners {
    /// `rpcbind.owners` of a server: `superuser`, `system`, `any`, or uids of that server.
    public init(of names: [String]) {
        self.init(
            Set(names.map { $0 == "root" || $0 == "0" ? "superuser" : $0 }).subtracting(["system", "any"]),
            includesSystem: names.contains("system"), includesAll: names.contains("any"))
    }
}
