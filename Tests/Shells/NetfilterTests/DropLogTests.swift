import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct DropLogs {
        private static let group: UInt16 = 111
        private let udp = ServicePort(.udp, 2049)
        private let shape = TableShape().logging(to: group)

        /// The events logged so far; a packet crosses a veth before `send` returns, or soon after.
        private func events(_ log: DropLog, atLeast count: Int = 1) -> [DroppedPacket] {
            var events = log.readEvents()
            var poll = pollfd(fd: log.socket.descriptor, events: Int16(POLLIN), revents: 0)
            while events.count < count, Glibc.poll(&poll, 1, 10_000) == 1 { events += log.readEvents() }
            return events
        }

        @Test("tells who once held the grant from who never did, over TCP, UDP, IPv4 and IPv6")
        func tellsApart() throws {
            try withClient { client in
                let table = try NetfilterTable.made(shape)
                let log = try DropLog(group: Self.group)
                let client6 = Example.client6
                #expect(
                    table.commit(
                        .guardPort(udp), .guardPort(Example.nfs),
                        .remember(Example.grant(Example.client4, udp), timeout: .seconds(60), comment: ""),
                        .remember(Example.grant(client6, Example.nfs), timeout: .seconds(60), comment: "")) == nil)
                let known4 = try client.socket(to: udp)
                let stranger4 = try client.socket(to: udp, from: "192.0.2.8")
                let known6 = try client.socket(to: Example.nfs, TestClient.server6, waits: false)
                let stranger6 = try client.socket(to: udp, TestClient.server6)
                known4.send(1)
                stranger4.send(1)
                stranger6.send(1)
                let seen = Dictionary(events(log, atLeast: 4).map { ($0.clientPort, $0) }) { first, _ in first }
                let expected = [
                    (known4, Example.client4, udp, DroppedPacket.Kind.remembered),
                    (stranger4, IPAddress.v4(0xc000_0208), udp, .probe),
                    (known6, client6, Example.nfs, .remembered), (stranger6, client6, udp, .probe),
                ]
                #expect(seen.count == 4)
                for (socket, address, service, kind) in expected {
                    let packet = DroppedPacket(
                        client: address, clientPort: socket.port, service: service, kind: kind)
                    #expect(seen[socket.port] == packet)
                }
                #expect(log.lost == 0)
            }
        }

        @Test("revives: the SYN of an expired grant is told, and the client's next one connects")
        func revives() throws {
            try withClient { client in
                let table = try NetfilterTable.made(shape)
                let log = try DropLog(group: Self.group)
                let server = try TestSocket(Example.nfs, "0.0.0.0")
                defer { withExtendedLifetime(server) {} }
                let key = Example.grant(Example.client4)
                #expect(
                    table.commit(
                        .guardPort(Example.nfs), Example.issue(key, timeout: .milliseconds(1)),
                        .remember(key, timeout: .seconds(60), comment: "100003 3 tcp 2049 1000")) == nil)
                usleep(20_000)
                let socket = try client.socket(to: Example.nfs, waits: false)
                let packet = try #require(events(log).first)
                #expect(packet.kind == .remembered)
                #expect(
                    table.commit(Example.issue(GrantKey(client: packet.client, service: packet.service))) == nil)
                #expect(socket.connects(within: 3))
            }
        }

        @Test("logs what is dropped and nothing else: neither granted, nor unguarded, nor forgotten for remembered")
        func logsDropsOnly() throws {
            try withClient { client in
                let table = try NetfilterTable.made(shape)
                let log = try DropLog(group: Self.group)
                let key = Example.grant(Example.client4, udp)
                #expect(
                    table.commit(
                        .guardPort(udp), .remember(key, timeout: .seconds(60), comment: ""), Example.issue(key)) == nil)
                let socket = try client.socket(to: udp)
                let elsewhere = try client.socket(to: ServicePort(.udp, 2050))
                socket.send(1)
                elsewhere.send(1)
                #expect(table.commit(.revoke(key), .forget(key)) == nil)
                // The first read returns the ICMP refusal, from the port without a listener.
                socket.send(2)
                socket.send(3)
                let seen = events(log)
                #expect(!seen.isEmpty && seen.allSatisfy { $0.kind == .probe && $0.service == udp })
            }
        }

        @Test("a stranger's flood doesn't keep from view those who once held a grant; nor does one of them the others")
        func isFair() throws {
            try withClient { client in
                let table = try NetfilterTable.made(shape)
                let log = try DropLog(group: Self.group)
                let known = [Example.client4, .v4(0xc000_0208)].map { Example.grant($0, udp) }
                let remember = known.map { Operation.remember($0, timeout: .seconds(60), comment: "") }
                #expect(table.commit([.guardPort(udp), .guardPort(Example.mountd)] + remember) == nil)
                let stranger = try client.socket(to: Example.mountd)
                let greedy = try client.socket(to: udp)
                let modest = try client.socket(to: udp, from: "192.0.2.8")
                for _ in 0..<2_000 {
                    stranger.send(1)
                    greedy.send(1)
                }
                modest.send(1)
                let seen = events(log, atLeast: 56)
                // Bursts of 50 and 5, and the additions of a second or two.
                #expect((50...80).contains(seen.count { $0.kind == .probe }))
                #expect((5...10).contains(seen.count { $0.clientPort == greedy.port }))
                #expect(seen.contains { $0.clientPort == modest.port && $0.kind == .remembered })
                #expect(log.lost == 0)
            }
        }

        @Test("observes: logs what enforce would drop, and lets it pass")
        func observes() throws {
            try withClient { client in
                var observing = shape
                observing.observes = true
                let table = try NetfilterTable.made(observing)
                let log = try DropLog(group: Self.group)
                let server = try TestSocket(udp, "0.0.0.0")
                let key = Example.grant(Example.client4, udp)
                #expect(table.commit(.guardPort(udp), .remember(key, timeout: .seconds(60), comment: "")) == nil)
                try client.socket(to: udp).send(1)
                #expect(events(log).map(\.kind) == [.remembered])
                #expect(server.receiveAll() == 1)
            }
        }

        @Test("counts the packets that it could not be told of, and goes on afterwards")
        func countsLosses() throws {
            try withClient { client in
                let table = try NetfilterTable.made(shape)
                let log = try DropLog(group: Self.group, receiveBufferBytes: 1 << 11)
                let addresses = (0..<200).map { 0x0a00_0000 + UInt32($0) }
                let remember = addresses.map {
                    Operation.remember(Example.grant(.v4($0), udp), timeout: .seconds(60), comment: "")
                }
                #expect(table.commit([.guardPort(udp)] + remember) == nil)
                let added = try client.inside {
                    shell("ip addr add 10.0.0.1/24 dev client; ip route add local 10.0.0.0/24 dev lo")
                }
                try #require(added.status == 0, "\(added.text)")
                _ = shell("ip route add 10.0.0.0/24 dev server")
                for last in 2..<150 { try client.socket(to: udp, from: "10.0.0.\(last)").send(1) }
                let seen = events(log)
                try client.socket(to: udp, from: "10.0.0.150").send(1)
                let more = events(log)
                #expect(more.map(\.client) == [.v4(0x0a00_0096)])
                #expect(log.lost > 0 && seen.count + more.count + log.lost == 149)
                #expect(log.readEvents() == [])
            }
        }

        @Test("says who is in the way if the group is taken, and takes it when it is free again")
        func isTaken() throws {
            try inFreshNamespace {
                var log: DropLog? = try DropLog(group: Self.group)
                let taken = NetfilterError.failed(
                    doing: "listening to NFLOG group 111", errno: EPERM,
                    detail: "Operation not permitted: another process listens to it, or CAP_NET_ADMIN is missing")
                #expect(throws: taken) { try DropLog(group: Self.group) }
                #expect(log?.readEvents() == [])
                log = nil
                #expect(try DropLog(group: Self.group).readEvents() == [])
            }
        }
    }
}
