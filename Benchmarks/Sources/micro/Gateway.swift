import Addresses
import Calls
import Clock
import Configuration
import Firewall
import ONCRPC
import Policy
import Portmapper
import Warden

/// A gateway with many servers behind it.
struct Gateway {
    private let outside: Outside

    private static let programs = 10
    private static let mountdPort: UInt16 = 2050
    /// The last program moves between them.
    private static let ports: [UInt16] = [20_048, 20_049]

    private static func address(_ number: Int) -> IPAddress { .v4(0x0a80_0000 + UInt32(number)) }

    private static func listing(last port: UInt16) -> Listing {
        Listing(
            (0..<programs).flatMap { index in
                [NetID.tcp, .udp].map { netID in
                    let program = Program(100_003 + 2 * UInt32(index))
                    let port = index == programs - 1 ? port : 2049 + UInt16(index)
                    return RPCB(
                        program: program, version: 3, netID: netID.rawValue,
                        address: "0.0.0.0.\(port >> 8).\(port & 255)", owner: "superuser")
                }
            })
    }

    /// nfs is open always to four prefixes, and the other programs are open at a look-up.
    private static func rules() -> [Rule] {
        let clients = (0..<4).map { prefix(0x0a00_0000 + UInt32($0) << 16, 17) }
        let others = (1..<programs).map { Program(100_003 + 2 * UInt32($0)) }
        return [("nfs", Set([Program.nfs]), Opening.always), ("others", Set(others), .onLookup)].enumerated().map {
            Rule(
                name: $1.0, location: Location(file: "policy.yaml", line: $0 + 1, column: 1), from: clients,
                at: .anyServer, to: $1.1, open: $1.2)
        }
    }

    init(servers: Int, grants: Int) {
        var settings = Settings()
        settings.limits.callsPerSecond = 1_000_000
        settings.limits.strangersPerSecond = 0
        settings.limits.grants = 1_000_000
        settings.limits.grantsPerClient = 1000
        settings.quarantine = nil
        var gateway = Settings.Gateway()
        gateway.servers = (1...servers).map { number in
            var server = Settings.Server()
            server.name = "server\(number)"
            server.addresses = [Self.address(number)]
            server.callbacks = .off
            return server
        }
        settings.gateway = gateway
        let warden = Warden(
            settings: settings, policies: PolicySet(rules: Self.rules(), servers: gateway.servers.map(\.name)),
            names: ProgramNames(etcRPC: ""), trustedOwners: ["superuser"])
        let listing = Self.listing(last: Self.ports[0])
        outside = Outside(warden, port: { _ in UInt32(Self.mountdPort) }, listing: { _ in listing })
        for number in 0..<grants { lookUp(from: .v4(0x0a00_0000 + UInt32(number / servers)), at: 1 + number % servers) }
        precondition(outside.grantCount == grants)
    }

    private func lookUp(from client: IPAddress, at server: Int) {
        var peer = peer(client)
        peer.asked = UniversalAddress(host: Self.address(server), port: 111)
        getPort.encoded(xid: 7).withUnsafeBytes { outside.receive($0, from: peer) }
    }

    /// A service of the server, which no client has asked for, takes another port.
    func moveService(of server: Int, to index: Int) {
        let listing = Self.listing(last: Self.ports[index % 2])
        outside.handle { $0.answered(.registry, with: .success(.registry(listing)), by: server, at: $1, into: &$2) }
    }
}
