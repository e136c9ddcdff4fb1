import Addresses
import Firewall
import Netfilter
import Testing

/// Sample clients and services, and sample elements of a table.
enum Example {
    static let nfs = ServicePort(.tcp, 2049)
    static let mountd = ServicePort(.udp, 20048)
    static let client4 = IPAddress.v4(0xc000_0207)  // 192.0.2.7
    static let client6 = IPAddress.v6(IPv6Bits(0x2001_0db8 << 96 | 7))

    static func grant(_ client: IPAddress, _ service: ServicePort = nfs) -> GrantKey {
        GrantKey(client: client, service: service)
    }

    static func issue(
        _ key: GrantKey, timeout: Duration = .seconds(3600), expiresIn: Duration? = nil, comment: String = ""
    ) -> Operation {
        .issue(key, timeout: timeout, expiresIn: expiresIn, comment: comment)
    }

    static func standing(_ first: IPAddress, _ last: IPAddress, _ service: ServicePort = nfs) -> StandingKey {
        StandingKey(clients: AddressRange(first, last), service: service)
    }

    /// One operation of each kind.
    static let operations = elements + [.shield(.udp, timeout: .seconds(30))]

    /// Operations on the services of servers behind a gateway: an IPv4 address, then an IPv6 address.
    static let atServers: [Operation] = [
        .guardPort(nfs(1)), .guardPort(nfs(2)), issue(grant(client4, nfs(1)), comment: "nfs of 192.0.2.7"),
        issue(grant(client6, nfs(2)), timeout: .seconds(60)),
        .remember(grant(client4, nfs(1)), timeout: .seconds(7200), comment: "nfs of 192.0.2.7"),
        .addStanding(standing(.v4(0x0a00_0000), .v4(0x0aff_ffff), nfs(1))),
        .addStanding(standing(client6, client6, nfs(2))),
    ]

    static func nfs(_ server: UInt16) -> ServicePort { ServicePort(.tcp, 2049, at: ServerID(rawValue: server)) }

    /// The operations that are also valid for a table of sets.
    static let elements: [Operation] = [
        .guardPort(nfs), .guardPort(mountd),
        issue(grant(client4), comment: "nfs of 192.0.2.7"), issue(grant(client6, mountd), timeout: .seconds(60)),
        .remember(grant(client4), timeout: .seconds(7200), comment: "nfs of 192.0.2.7"),
        .remember(grant(client6, mountd), timeout: .seconds(60), comment: ""),
        .addStanding(standing(.v4(0x0a00_0000), .v4(0x0aff_ffff))), .addStanding(standing(.v4(1), .v4(9), mountd)),
        .addStanding(standing(client6, client6)),
        .addStanding(standing(.v6(2), .v6(IPv6Bits(UInt128.max - 1)), mountd)),
        .quarantine(client4, timeout: .seconds(600)), .quarantine(client6, timeout: .seconds(600)),
    ]
}

extension NetfilterTable {
    /// Commits the operations to the table `rpcwarden`.
    func commit(_ operations: Operation...) -> CommitFailure? {
        commit(Transaction(table: "rpcwarden", operations: operations))
    }

    func commit(_ operations: [Operation]) -> CommitFailure? {
        commit(Transaction(table: "rpcwarden", operations: operations))
    }

    /// A table connection, with an empty table `rpcwarden` made.
    static func made(_ shape: TableShape = TableShape()) throws -> NetfilterTable {
        let table = try NetfilterTable()
        if let failure = table.commit(.makeTable(shape)) { throw failure }
        return table
    }

    func contents() throws -> TableContents {
        try #require(try contents(of: "rpcwarden"))
    }

    func grants() throws -> [GrantKey] {
        try contents().granted.map(\.key).sorted()
    }
}
