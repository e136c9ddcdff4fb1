import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct Gateway {
        private static let client = IPAddress.v4(0x0a5b_0102)  // 10.91.1.2
        private static let server = "10.91.2.2"
        private static let nfs = Example.nfs(1)
        private static let grant = GrantKey(client: client, service: nfs)

        private static func shape(closed: ClosedRange<UInt16>? = nil) -> TableShape {
            var shape = TableShape()
            var gateway = GatewayShape(addresses: [.v4(0x0a5b_0202)])
            if let closed { gateway.closed = [.init(ServerID(rawValue: 1), .tcp, closed)] }
            shape.gateway = gateway
            return shape
        }

        /// This thread's namespace routes between a client's and a server's. Each is held by a process that listens.
        private struct Network {
            let client: Int32
            let server: Int32

            init() throws {
                client = try Self.namespace("c", "10.91.1", ports: "8000")
                server = try Self.namespace("s", "10.91.2", ports: "111, 2049, 2050")
                #expect(shell("sysctl -qw net.ipv4.ip_forward=1").status == 0)
            }

            private static func namespace(_ side: String, _ net: String, ports: String) throws -> Int32 {
                let listener = """
                    import socket, select
                    all = [socket.create_server(("", port)) for port in (\(ports),)]
                    while True: [one.accept() for one in select.select(all, [], [])[0]]
                    """
                let started = shell("unshare -n python3 -c '\(listener)' >/dev/null 2>&1 & echo $!")
                let pid = try #require(Int32(started.text.filter(\.isNumber)))
                let made = shell(
                    """
                    set -e
                    for i in $(seq 100); do nsenter -t \(pid) -n ss -Hltn | grep -q . && break; sleep 0.1; done
                    ip link add \(side)0 type veth peer name eth0 netns \(pid)
                    ip addr add \(net).1/24 dev \(side)0; ip link set \(side)0 up
                    nsenter -t \(pid) -n sh -ec 'ip link set lo up; ip addr add \(net).2/24 dev eth0; ip link set eth0 up
                        ip route add default via \(net).1'
                    """)
                #expect(made.status == 0, "\(made.text)")
                return pid
            }

            func end() { for pid in [client, server] { kill(pid, SIGKILL) } }

            /// Whether a connection is made within a second.
            func connects(from side: Int32, to host: String, _ port: Int) -> Bool {
                shell("timeout 1 nsenter -t \(side) -n bash -c 'exec 3<>/dev/tcp/\(host)/\(port)'").status == 0
            }
        }

        private func onGateway(_ body: (Network, NetfilterTable) throws -> Void) throws {
            try inFreshNamespace {
                let network = try Network()
                defer { network.end() }
                try body(network, try NetfilterTable())
            }
        }

        @Test("a server's guarded port passes grants and standing elements alone; ports that are not guarded pass")
        func forwards() throws {
            try onGateway { network, table in
                func reaches(_ port: Int) -> Bool { network.connects(from: network.client, to: Self.server, port) }
                #expect(table.commit(.makeTable(Self.shape())) == nil)
                #expect(reaches(2049) && reaches(2050))
                #expect(table.commit(.guardPort(Self.nfs)) == nil)
                #expect(!reaches(2049) && reaches(2050))
                #expect(table.commit(Example.issue(Self.grant)) == nil)
                #expect(reaches(2049))
                let use = try #require(try table.uses(of: [Self.grant], in: "rpcwarden")[Self.grant])
                #expect(use.packets > 0)
                #expect(table.commit(.revoke(Self.grant)) == nil)
                #expect(!reaches(2049))
                let standing = StandingKey(clients: AddressRange(Self.client, Self.client), service: Self.nfs)
                #expect(table.commit(.addStanding(standing)) == nil)
                #expect(reaches(2049))
                #expect(table.commit(.removeStanding(standing), .unguardPort(Self.nfs)) == nil)
                #expect(reaches(2049))
            }
        }

        @Test("a server's portmapper is reached by nobody, also without the chain that intercepts")
        func portmapper() throws {
            try onGateway { network, table in
                func reaches() -> Bool { network.connects(from: network.client, to: Self.server, 111) }
                #expect(reaches(), "without the table")
                #expect(table.commit(.makeTable(Self.shape())) == nil)
                #expect(!reaches())
                #expect(shell("nft flush chain inet rpcwarden intercept").status == 0)
                #expect(!reaches())
                #expect(shell("nft flush chain inet rpcwarden to_server4").status == 0)
                #expect(reaches(), "that was what closed it")
            }
        }

        @Test("with every port closed, a server's own questions are answered, and nobody reaches it")
        func ownQuestions() throws {
            try onGateway { network, table in
                #expect(table.commit(.makeTable(Self.shape(closed: 112...65_535))) == nil)
                #expect(network.connects(from: network.server, to: "10.91.1.2", 8000))
                #expect(!network.connects(from: network.client, to: Self.server, 2050))
            }
        }

        @Test("a callback passes another table that drops, by its mark; other packets of the server don't")
        func callbacks() throws {
            try onGateway { network, table in
                func calls() -> Bool { network.connects(from: network.server, to: "10.91.1.2", 8000) }
                #expect(table.commit(.makeTable(Self.shape())) == nil)
                #expect(calls())
                let firewall = """
                    table inet other {
                    chain forward {
                    type filter hook forward priority 0; policy drop;
                    ct state established,related accept
                    meta mark and 0x2000 != 0 accept
                    }
                    }
                    """
                #expect(shell("nft -f - <<'END'\n\(firewall)\nEND").status == 0)
                #expect(!calls())
                let key = GrantKey(
                    client: Self.client, service: ServicePort(.tcp, 8000, at: ServerID(rawValue: 1).callback))
                #expect(table.commit(Example.issue(key)) == nil)
                #expect(calls())
                let use = try #require(try table.uses(of: [key], in: "rpcwarden")[key])
                #expect(use.packets > 0)
                #expect(table.commit(.revoke(key)) == nil)
                #expect(!calls())
            }
        }

        @Test("an operation at a server that the table doesn't have is refused, and nothing of its transaction is done")
        func unknownServer() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(Self.shape())
                let refusal = table.commit(.guardPort(Self.nfs), .guardPort(Example.nfs(2)))
                #expect(refusal?.errno == EINVAL && refusal?.operation == 1)
                #expect(!shell("nft list set inet rpcwarden guarded_at4").text.contains("elements"))
                let alone = try NetfilterTable.made()
                #expect(alone.commit(.guardPort(Self.nfs))?.errno == EINVAL, "no gateway")
            }
        }
    }
}
