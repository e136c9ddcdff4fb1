import Portmapper
import Testing

@Suite("registry") struct RegistryTests {
    @Test(
        "passes over what it can't serve",
        arguments: [
            rpcb(100_003, 3, "sctp", "0.0.0.0.8.1", "superuser"),
            rpcb(100_003, 3, "TCP", "0.0.0.0.8.1", "superuser"),
            rpcb(100_003, 3, "", "0.0.0.0.8.1", "superuser"),
            rpcb(100_003, 3, "tcp", "", "superuser"),
            rpcb(100_003, 3, "tcp", "0.0.0.0", "superuser"),
            rpcb(100_003, 3, "tcp", "0.0.0.0.0.0", "superuser"),
            rpcb(100_003, 3, "tcp6", "::.0.0", "superuser"),
            rpcb(100_003, 3, "udp", "/run/rpcbind.sock", "superuser"),
        ])
    func passesOver(entry: RPCB) {
        #expect(Registration(entry) == nil)
        #expect(Registry([entry]).registrations == [])
    }

    @Test(
        "parses what rpcbind lists",
        arguments: [
            ("tcp", "0.0.0.0.8.1", "tcp/2049", false), ("udp", "0.0.0.0.3.231", "udp/999", false),
            ("tcp6", "::.8.1", "tcp/2049", false), ("udp6", "fd77:1::1.0.22", "udp/22", false),
            ("tcp", "127.0.0.1.4.87", "tcp/1111", true), ("tcp6", "::1.4.87", "tcp/1111", true),
            ("tcp", "10.77.1.1.255.255", "tcp/65535", false),
        ])
    func parses(netID: String, address: String, service: String, isForThisHostOnly: Bool) throws {
        let found = try #require(Registration(rpcb(100_003, 3, netID, address, "102")))
        #expect(found.service?.description == service)
        #expect(found.addressText == address)
        #expect(found.address?.description == address)
        #expect(found.netID.rawValue == netID)
        #expect(found.program == .nfs && found.version == 3 && found.owner == "102")
        #expect(found.isForThisHostOnly == isForThisHostOnly)
    }

    @Test(
        "an address of the other family is its port at the netid's own wildcard, or loopback",
        arguments: [
            ("tcp", "0:0:0:0:0:0:0:0.8.1", "0.0.0.0.8.1", false), ("tcp", "::.8.1", "0.0.0.0.8.1", false),
            ("udp", "fd77:1::1.8.1", "0.0.0.0.8.1", false), ("tcp6", "0.0.0.0.8.1", "::.8.1", false),
            ("tcp6", "10.77.1.1.8.1", "::.8.1", false), ("udp6", "::ffff:10.0.0.1.8.1", "::.8.1", false),
            ("tcp", "::1.8.1", "127.0.0.1.8.1", true), ("udp6", "127.0.0.5.8.1", "::1.8.1", true),
        ])
    func otherFamily(netID: String, address: String, shown: String, isForThisHostOnly: Bool) throws {
        let found = try #require(Registration(rpcb(100_003, 3, netID, address, "superuser")))
        #expect(found.addressText == shown && found.address?.description == shown)
        #expect(found.service?.port == 2049 && found.netID.rawValue == netID)
        #expect(found.isForThisHostOnly == isForThisHostOnly)
    }

    @Test("a local registration has a path, and no port", arguments: ["/run/rpcbind.sock", "", "0.0.0.0.8.1"])
    func local(path: String) throws {
        let found = try #require(Registration(rpcb(100_000, 4, "local", path, "superuser")))
        #expect(found.address == nil)
        #expect(found.service == nil)
        #expect(found.addressText == path)
        #expect(found.isForThisHostOnly)
    }

    private static let list = [
        rpcb(100_003, 3, "tcp", "0.0.0.0.8.1", "superuser"),
        rpcb(100_003, 4, "tcp", "0.0.0.0.8.1", "1000"),
        rpcb(100_003, 3, "tcp6", "::.8.1", "superuser"),
        rpcb(100_003, 3, "udp", "0.0.0.0.8.1", "superuser"),
        rpcb(100_003, 3, "sctp", "0.0.0.0.8.1", "superuser"),
        rpcb(100_003, 2, "tcp", "0.0.0.0.8.2", "superuser"),
        rpcb(100_005, 3, "tcp", "0.0.0.0.8.1", "superuser"),
        rpcb(100_003, 3, "local", "/run/nfs", "superuser"),
    ]

    @Test("keeps rpcbind's order, by program too")
    func order() {
        let registry = Registry(Self.list)
        #expect(registry.registrations.count == 7)
        #expect(registry.registrations(of: .nfs).map(\.netID) == [.tcp, .tcp, .tcp6, .udp, .tcp, .local])
        #expect(registry.registrations(of: .mountd).map(\.version) == [3])
        #expect(Array(registry.registrations(of: .status)) == [])
        #expect(Registry().registrations == [])
    }

    @Test("each netid has its transport and family, and the pair gives it back")
    func netIDs() {
        for netID in NetID.allCases {
            guard let transport = netID.transport else {
                #expect(netID == .local)
                continue
            }
            #expect(NetID(transport, isIPv4: netID.isIPv4) == netID)
            #expect(netID.protocolName == transport.description)
            #expect(netID.protocolFamily == (netID.isIPv4 ? "inet" : "inet6"))
            #expect(netID.semantics == (transport == .udp ? 1 : 3))
        }
    }
}
