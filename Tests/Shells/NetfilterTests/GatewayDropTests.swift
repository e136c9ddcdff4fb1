import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

/// A server's network namespace, on a veth to the test's, which routes between it and the client: 10.91.2.2, .3, .9
/// and fd91:2::2 there.
struct TestServer {
    let processID: String

    func socket(_ service: ServicePort, _ address: String) throws -> TestSocket {
        try inNamespace(of: processID) { try TestSocket(service, address) }
    }
}

/// A client's namespace and a server's, and this host as the router between them.
func withServer(_ body: (TestClient, TestServer) throws -> Void) throws {
    try withClient { client in
        let spawned = shell("unshare -n sleep 30 > /dev/null 2>&1 & echo $!; sleep 0.05")
        let server = TestServer(processID: spawned.text.filter(\.isNumber))
        defer { _ = shell("kill \(server.processID)") }
        let made = shell(
            """
            sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 &&
            ip link add far type veth peer name near netns \(server.processID) &&
            ip addr add 10.91.2.1/24 dev far && ip addr add fd91:2::1/64 dev far nodad && ip link set far up &&
            nsenter -t \(server.processID) -n sh -ec '
            for last in 2 3 9; do ip addr add 10.91.2.$last/24 dev near; done
            ip addr add fd91:2::2/64 dev near nodad; ip link set near up
            ip route add default via 10.91.2.1; ip route add default via fd91:2::1' &&
            nsenter -t \(client.processID) -n sh -ec '
            ip route add default via 192.0.2.1; ip route add default via 2001:db8::1' &&
            timeout 5 nsenter -t \(server.processID) -n sh -c '
            until ip -o link show near | grep -q "state UP"; do sleep 0.01; done'
            """)
        try #require(made.status == 0, "\(made.text)")
        try body(client, server)
    }
}

extension KernelTests {
    /// Packets to servers behind this gateway that are dropped, and how they are told of.
    @Suite struct GatewayDrops {
        private static let group: UInt16 = 111
        private static let shape = TableShape.atGateway.logging(to: group)
        private static let udp = ServicePort(.udp, 2049)
        private static func udp(_ server: UInt16) -> ServicePort {
            ServicePort(.udp, 2049, at: ServerID(rawValue: server))
        }

        private static func log() throws -> DropLog {
            let log = try DropLog(group: group)
            log.gateway = shape.gateway
            return log
        }

        /// The packets logged so far.
        private func events(_ log: DropLog, atLeast count: Int = 1) -> [DroppedPacket] {
            var events = log.readEvents()
            var poll = pollfd(fd: log.socket.descriptor, events: Int16(POLLIN), revents: 0)
            while events.count < count, Glibc.poll(&poll, 1, 10_000) == 1 { events += log.readEvents() }
            return events
        }

        @Test(
            "tells which server a packet was for, and who once held the grant there; here and elsewhere is told apart")
        func tells() throws {
            try withServer { client, _ in
                let table = try NetfilterTable.made(Self.shape)
                let log = try Self.log()
                func remember(_ client: IPAddress, _ service: ServicePort) -> Operation {
                    .remember(Example.grant(client, service), timeout: .seconds(60), comment: "")
                }
                let services = [Self.udp, Self.udp(1), Self.udp(2)]
                #expect(
                    table.commit(
                        services.map(Operation.guardPort) + [
                            remember(Example.client4, Self.udp(1)), remember(Example.client6, Self.udp(2)),
                            // Not there, but here.
                            remember(.v4(0xc000_0208), Self.udp),
                        ]) == nil)
                let sends: [(String, String?, ServicePort, DroppedPacket.Kind)] = [
                    ("10.91.2.2", nil, Self.udp(1), .remembered), ("fd91:2::2", nil, Self.udp(2), .remembered),
                    ("10.91.2.2", "192.0.2.8", Self.udp(1), .probe),
                    (TestClient.server4, "192.0.2.8", Self.udp, .remembered),
                    (TestClient.server4, nil, Self.udp, .probe),
                ]
                let sockets = try sends.map { try client.socket(to: Self.udp, $0.0, from: $0.1) }
                for socket in sockets { socket.send(1) }
                let seen = Dictionary(events(log, atLeast: 5).map { ($0.clientPort, $0) }) { first, _ in first }
                #expect(seen.count == 5)
                for (socket, sent) in zip(sockets, sends) {
                    #expect(seen[socket.port]?.service == sent.2 && seen[socket.port]?.kind == sent.3, "\(sent)")
                }
                #expect(try table.drops(of: "rpcwarden").guarded == 5)
                // 10.91.2.9 is no server.
                try client.socket(to: Self.udp, "10.91.2.9").send(1)
                #expect(try table.drops(of: "rpcwarden").guarded == 5)
            }
        }

        @Test("revives: the SYN of an expired grant at a server is told, and the client's next one connects")
        func revives() throws {
            try withServer { client, server in
                let table = try NetfilterTable.made(Self.shape)
                let log = try Self.log()
                let listener = try server.socket(Example.nfs, "10.91.2.2")
                defer { withExtendedLifetime(listener) {} }
                let key = Example.grant(Example.client4, Example.nfs(1))
                #expect(
                    table.commit(
                        .guardPort(key.service), Example.issue(key, timeout: .milliseconds(1)),
                        .remember(key, timeout: .seconds(60), comment: "")) == nil)
                usleep(20_000)
                let socket = try client.socket(to: Example.nfs, "10.91.2.2", waits: false)
                let packet = try #require(events(log).first)
                #expect(packet.kind == .remembered && packet.service == key.service && packet.client == key.client)
                #expect(table.commit(Example.issue(GrantKey(client: packet.client, service: packet.service))) == nil)
                #expect(socket.connects(within: 3))
            }
        }

        @Test("observes: logs what enforce would drop, and lets it pass")
        func observes() throws {
            try withServer { client, server in
                var observing = Self.shape
                observing.observes = true
                let table = try NetfilterTable.made(observing)
                let log = try Self.log()
                let listener = try server.socket(Self.udp, "10.91.2.2")
                #expect(table.commit(.guardPort(Self.udp(1))) == nil)
                try client.socket(to: Self.udp, "10.91.2.2").send(1)
                #expect(events(log).map(\.service) == [Self.udp(1)])
                #expect(listener.receive(1) == 1)
            }
        }

        /// A socket at port 111 that also gets what is for other addresses.
        private func portmapper() throws -> TestSocket {
            let socket = try TestSocket(ServicePort(.udp, 111), "0.0.0.0")
            var one: Int32 = 1
            try #require(setsockopt(socket.descriptor, Int32(IPPROTO_IP), 19, &one, 4) == 0)  // IP_TRANSPARENT
            return socket
        }

        @Test("a shield keeps strangers from the servers' portmappers too, and lets through the same clients as here")
        func shield() throws {
            try withServer { client, _ in
                let table = try NetfilterTable.made(Self.shape)
                let log = try Self.log()
                let here = try portmapper()
                try RoutingTables().install(.example(["10.91.2.2"]))
                let service = ServicePort(.udp, 111)
                let stranger = try client.socket(to: service, "10.91.2.2")
                let named = try client.socket(to: service, "10.91.2.2", from: "192.0.2.8")
                stranger.send(1)
                #expect(here.receive(1) == 1)
                let admitted = Example.standing(.v4(0xc000_0208), .v4(0xc000_0208), service)
                #expect(table.commit(.addStanding(admitted), .shield(.udp, timeout: .seconds(30))) == nil)
                for _ in 0..<3 { stranger.send(9) }
                named.send(1)
                #expect(here.receive(1) == 1)
                #expect(here.receiveNone())
                #expect(try table.drops(of: "rpcwarden").strangers == 3)
                let told = events(log, atLeast: 3)
                let expected = ServicePort(.udp, 111, at: ServerID(rawValue: 1))
                #expect(told.count == 3 && told.allSatisfy { $0.kind == .stranger && $0.service == expected })
                #expect(told.first?.payload == [9])
                // All ranges are replaced: the rules follow.
                #expect(table.commit(.replaceStanding, .addStanding(Example.standing(.v4(1), .v4(2), service))) == nil)
                named.send(1)
                #expect(here.receiveNone())
                #expect(table.commit(.replaceStanding, .addStanding(admitted)) == nil)
                named.send(1)
                #expect(here.receive(1) == 1)
                #expect(table.commit(.quarantine(Example.client4, timeout: .seconds(60))) == nil)
                stranger.send(1)
                #expect(here.receiveNone())
                #expect(try table.drops(of: "rpcwarden").quarantined == 1)
            }
        }

        @Test("without a listener, calls to servers don't count as quarantined")
        func nobodyListens() throws {
            try withServer { client, _ in
                let table = try NetfilterTable.made(Self.shape)
                try client.socket(to: ServicePort(.udp, 111), "10.91.2.2").send(1)
                usleep(50_000)
                #expect(try table.drops(of: "rpcwarden") == DropCounts())
            }
        }
    }
}
