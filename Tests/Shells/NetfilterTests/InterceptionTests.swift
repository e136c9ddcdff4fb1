import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    /// Packets to other hosts' port 111 that reach this host's own socket.
    @Suite struct Interception {
        private static let ruleset = """
            table inet intercepting {
                chain prerouting {
                    type filter hook prerouting priority raw; policy accept;
                    meta l4proto != udp accept
                    udp dport != 111 accept
                    ip saddr { 192.0.2.8 } meta mark set meta mark or 0x50000
                    ip6 saddr { 2001:db8::8 } meta mark set meta mark or 0x50000
                    meta mark 0 meta mark set meta mark or 0x30000
                    notrack
                    meta nfproto ipv4 meta l4proto udp tproxy ip to :111 accept
                    meta nfproto ipv6 meta l4proto udp tproxy ip6 to :111 accept
                    drop
                }
            }
            """

        /// A client's namespace whose way to 10.91.2.0/24 and fd91:2::/64, where servers would be, leads here.
        private func withGateway(_ filters: Int, _ body: (TestClient) throws -> Void) throws {
            try withClient { client in
                try run(
                    """
                    sysctl -qw net.ipv4.conf.all.rp_filter=\(filters) net.ipv4.conf.server.rp_filter=\(filters) \
                    net.ipv4.conf.server.src_valid_mark=1 net.ipv4.conf.all.src_valid_mark=1 \
                    net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 &&
                    nsenter -t \(client.processID) -n sh -c 'ip addr add 2001:db8::8/64 dev client nodad &&
                    ip route add default via 192.0.2.1 && ip route add default via 2001:db8::1'
                    """)
                try run("nft -f - <<'END'\n\(Self.ruleset)\nEND")
                try meet(client)
                try body(client)
            }
        }

        /// Has the client look up the gateway's link-layer addresses, so that no later datagram waits for them.
        private func meet(_ client: TestClient) throws {
            let service = ServicePort(.udp, 999)
            let here = try TestSocket(service, "::")
            for address in [TestClient.server4, TestClient.server6] {
                let there = try client.socket(to: service, address)
                // On a busy machine, the look-up may take longer than the kernel keeps a datagram for it.
                let isMet = (1...10).contains { _ in
                    there.send(1)
                    return here.receive(1) > 0
                }
                try #require(isMet)
            }
        }

        /// A socket at port 111 of all addresses, also of those that aren't this host's.
        private func listener(_ address: String) throws -> TestSocket {
            let socket = try TestSocket(ServicePort(.udp, 111), address)
            var one: Int32 = 1
            let (level, option): (Int32, Int32) =
                address == "::" ? (Int32(IPPROTO_IPV6), 75) : (Int32(IPPROTO_IP), 19)  // IPV6_, IP_TRANSPARENT
            try #require(setsockopt(socket.descriptor, level, option, &one, 4) == 0)
            return socket
        }

        struct Way: CustomTestStringConvertible {
            var testDescription: String
            var source: String
            var destination: String
            var servers: [String]
            var any: String { source.contains(":") ? "::" : "0.0.0.0" }
        }

        static let ways = [
            Way(
                testDescription: "a client asks a server, IPv4", source: "192.0.2.7", destination: "10.91.2.2",
                servers: ["10.91.2.2"]),
            Way(
                testDescription: "a client asks a server, IPv6", source: "2001:db8::7", destination: "fd91:2::2",
                servers: ["fd91:2::2"]),
            Way(
                testDescription: "a server asks a client, IPv4", source: "192.0.2.8", destination: "10.77.1.1",
                servers: ["192.0.2.8"]),
            Way(
                testDescription: "a server asks a client, IPv6", source: "2001:db8::8", destination: "fd77:1::1",
                servers: ["2001:db8::8"]),
        ]

        @Test("a datagram reaches this host with the plan installed, and not without", arguments: ways, [0, 1])
        func arrival(way: Way, filters: Int) throws {
            try withGateway(filters) { client in
                let here = try listener(way.any)
                let there = try client.socket(to: ServicePort(.udp, 111), way.destination, from: way.source)
                let tables = try RoutingTables()
                let plan = RoutingPlan.example(way.servers)
                there.send(1)
                #expect(here.receiveNone())
                try tables.install(plan)
                there.send(1)
                #expect(here.receive(1) == 1)
                try tables.remove(plan)
                there.send(1)
                #expect(here.receiveNone())
            }
        }

        @Test("a datagram to no server's address doesn't arrive, nor does a callback if there are none")
        func others() throws {
            try withGateway(1) { client in
                let here = try listener("0.0.0.0")
                let tables = try RoutingTables()
                try tables.install(.example(["10.91.2.2", "192.0.2.8"], interceptsCallbacks: false))
                try client.socket(to: ServicePort(.udp, 111), "10.91.2.3", from: "192.0.2.7").send(1)
                try client.socket(to: ServicePort(.udp, 111), "10.77.1.1", from: "192.0.2.8").send(1)
                #expect(here.receiveNone())
                try client.socket(to: ServicePort(.udp, 111), "10.91.2.2", from: "192.0.2.7").send(1)
                #expect(here.receive(1) == 1)
            }
        }
    }
}
