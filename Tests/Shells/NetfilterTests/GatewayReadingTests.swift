import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension TableShape {
    /// In front of two servers: 10.91.2.2 and fd91:2::2.
    static var atGateway: TableShape {
        var shape = TableShape()
        shape.gateway = GatewayShape(addresses: [Example.server4, Example.server6])
        return shape
    }
}

extension Example {
    static let server4 = IPAddress.v4(0x0a5b_0202)
    static let server6 = IPAddress.v6(IPv6Bits(0xfd91_0002 << 96 | 2))
    static let callers4 = CallersKey(
        server: ServerID(rawValue: 1), clients: AddressRange(.v4(0x0a4d_0100), .v4(0x0a4d_01fe)))
    static let callers6 = CallersKey(server: ServerID(rawValue: 2), clients: AddressRange(client6, client6))
    static let callers: [Operation] = [.addCallers(callers4), .addCallers(callers6)]
}

extension TableContents {
    /// Without the elements of this host.
    fileprivate var atServers: Self {
        var contents = self
        contents.guarded = guarded.filter { $0.server != .thisHost }
        contents.granted = granted.filter { $0.key.service.server != .thisHost }
        contents.remembered = remembered.filter { $0.key.service.server != .thisHost }
        contents.standing = standing.filter { $0.service.server != .thisHost }
        contents.quarantined = [:]
        return contents
    }
}

extension KernelTests {
    /// Reading the elements of servers behind this gateway.
    @Suite struct GatewayReading {
        private static let grant4 = Example.grant(Example.client4, Example.nfs(1))
        private static let grant6 = Example.grant(Example.client6, Example.nfs(2))
        private static let all = Example.operations + Example.atServers + Example.callers

        private static func check(_ contents: TableContents) {
            #expect(contents.guarded == [Example.nfs(1), Example.nfs(2)])
            #expect(Set(contents.granted.map(\.key)) == [grant4, grant6])
            #expect(contents.remembered.map(\.key) == [grant4])
            #expect(contents.remembered.first?.comment == "nfs of 192.0.2.7")
            let standing: Set = [
                Example.standing(.v4(0x0a00_0000), .v4(0x0aff_ffff), Example.nfs(1)),
                Example.standing(Example.client6, Example.client6, Example.nfs(2)),
            ]
            #expect(contents.standing == standing)
            #expect(contents.callers == [Example.callers4, Example.callers6])
        }

        @Test("tells every element with its server, beside those of this host")
        func reads() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(.atGateway)
                #expect(table.commit(Self.all) == nil)
                let contents = try table.contents()
                Self.check(contents.atServers)
                #expect(
                    contents.guarded.subtracting([Example.nfs(1), Example.nfs(2)]) == [Example.nfs, Example.mountd])
                #expect(contents.granted.count == 4 && contents.standing.count == 6)
                #expect(try table.guarded(of: "rpcwarden", isShared: false) == contents.guarded)
                let grant = try #require(contents.granted.first { $0.key == Self.grant4 })
                #expect(grant.comment == "nfs of 192.0.2.7" && grant.timeout == .seconds(3600))
                let lifetimes = try table.lifetimes(of: [Self.grant4, Self.grant6], in: "rpcwarden")
                #expect(Set(lifetimes.keys) == [Self.grant4, Self.grant6])
                #expect(table.commit(Self.all.map(\.undoing)) == nil)
                #expect(try table.contents() == TableContents())
            }
        }

        @Test("an address that is no server's any more is ignored; the numbers are those of the servers now")
        func otherServers() throws {
            try inFreshNamespace {
                #expect(try NetfilterTable.made(.atGateway).commit(Self.all) == nil)
                let table = try NetfilterTable()
                table.gateway = GatewayShape(addresses: [.v4(1), .v4(2), Example.server4])
                let contents = try table.contents().atServers
                #expect(contents.guarded == [Example.nfs(3)])
                #expect(contents.granted.map(\.key) == [Example.grant(Example.client4, Example.nfs(3))])
                #expect(contents.callers.map(\.server) == [ServerID(rawValue: 3)])
                #expect(try table.lifetimes(of: [Self.grant6], in: "rpcwarden") == [:])
                let gone = Example.grant(Example.client4, Example.nfs(7))
                #expect(try table.lifetimes(of: [gone], in: "rpcwarden") == [:])
                #expect(try table.lifetimes(of: [Example.grant(Example.client4)], in: "rpcwarden").count == 1)
            }
        }

        @Test("a table of a gateway is read without one, and the other way round")
        func withoutGateway() throws {
            try inFreshNamespace {
                let gateway = try NetfilterTable.made(.atGateway)
                #expect(gateway.commit(Self.all) == nil)
                let table = try NetfilterTable()
                #expect(try table.contents().atServers == TableContents())
                #expect(try table.guarded(of: "rpcwarden", isShared: false) == [Example.nfs, Example.mountd])
                #expect(table.commit([.makeTable(TableShape())] + Example.operations) == nil)
                table.gateway = TableShape.atGateway.gateway
                #expect(try table.contents().atServers == TableContents())
                #expect(try table.contents().granted.count == 2)
                #expect(try table.guarded(of: "rpcwarden", isShared: false) == [Example.nfs, Example.mountd])
            }
        }

        @Test("a set of another kind is told of, and only if a gateway needs it")
        func foreign() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                #expect(shell("nft 'add set inet rpcwarden granted_at4 { type ipv4_addr; }'").status == 0)
                #expect(try table.contents() == TableContents())
                table.gateway = TableShape.atGateway.gateway
                let error = NetfilterError.foreign(table: "rpcwarden", missing: ["granted_at4"])
                #expect(throws: error) { try table.contents() }
            }
        }

        @Test("a callback's grant is the server's way to its client's port, and no other element is a callback's")
        func callbacks() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(.atGateway)
                let id = ServerID(rawValue: 1).callback
                let key = Example.grant(Example.client4, ServicePort(.tcp, 4045, at: id))
                let six = Example.grant(
                    Example.client6, ServicePort(.udp, 4045, at: ServerID(rawValue: 2).callback))
                #expect(table.commit(Example.issue(key, comment: "callback"), Example.issue(six)) == nil)
                let listed = shell("nft list set inet rpcwarden granted_at4").text
                #expect(listed.contains("10.91.2.2 . 192.0.2.7 . tcp . 4045"), "\(listed)")
                let contents = try table.contents()
                #expect(Set(contents.granted.map(\.key)) == [key, six])
                #expect(contents.granted.first { $0.key == key }?.comment == "callback")
                #expect(try Set(table.lifetimes(of: [key, six], in: "rpcwarden").keys) == [key, six])
                #expect(table.commit(.revoke(key)) == nil)
                #expect(try table.contents().granted.map(\.key) == [six])
                let atServer = Example.grant(Example.server4, key.service)
                for operation: Operation in [
                    .guardPort(key.service), .remember(key, timeout: .seconds(9), comment: ""),
                    .addStanding(Example.standing(key.client, key.client, key.service)),
                    .addCallers(CallersKey(server: id, clients: Example.callers4.clients)),
                    // It would be the key of a grant at that server.
                    Example.issue(atServer), Example.issue(Example.grant(Example.client6, key.service)),
                ] {
                    #expect(table.commit(operation)?.errno == EINVAL, "\(operation)")
                }
                let foreign = "add element inet rpcwarden remembered_at4 { 10.91.2.2 . 192.0.2.7 . tcp . 4045 }"
                #expect(shell("nft '\(foreign)'").status == 0)
                #expect(try table.contents().remembered == [])
            }
        }

        @Test("a client of another address family than the server's is refused")
        func families() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(.atGateway)
                let six = Example.grant(Example.client6, Example.nfs(1))
                for operation: Operation in [
                    Example.issue(six), .addStanding(Example.standing(six.client, six.client, six.service)),
                    .addCallers(CallersKey(server: ServerID(rawValue: 1), clients: .allIPv6)),
                    .addCallers(CallersKey(server: .thisHost, clients: .allIPv4)),
                ] {
                    #expect(table.commit(operation)?.errno == EINVAL, "\(operation)")
                }
                #expect(try table.lifetimes(of: [six], in: "rpcwarden") == [:])
                #expect(try table.contents() == TableContents())
            }
        }

        @Test(
            "all ranges are replaced at once, at this host and at servers, and the rules look at the named sets again")
        func exchange() throws {
            try inFreshNamespace {
                func ranges(_ base: UInt32) -> [StandingKey] {
                    [Example.nfs, Example.nfs(1)].flatMap { service in
                        (0..<20).map { Example.standing(.v4(base + $0 << 8), .v4(base + $0 << 8 + 9), service) }
                    } + [Example.standing(.v6(IPv6Bits(UInt128(base))), Example.client6, Example.nfs(2))]
                }
                func listing() -> [Substring] {
                    shell("nft list table inet rpcwarden | sed '/elements = { udp timeout 200ms/d'").text
                        .split(separator: "\n\n").sorted()
                }
                let table = try NetfilterTable.made(.atGateway)
                #expect(table.commit(ranges(9).map(Operation.addStanding)) == nil)
                let expected = listing()
                #expect(table.commit([.makeTable(.atGateway)] + ranges(5 << 16).map(Operation.addStanding)) == nil)
                #expect(table.commit([.replaceStanding] + ranges(9).map(Operation.addStanding)) == nil)
                #expect(listing() == expected)
                #expect(try table.contents().standing == Set(ranges(9)))
                let stranger = Operation.addStanding(Example.standing(.v4(1), .v4(2), Example.nfs(7)))
                #expect(table.commit(.replaceStanding, stranger)?.operation == 1, "no such server")
                #expect(listing() == expected)
                #expect(table.commit(.replaceStanding) == nil)
                #expect(try table.contents() == TableContents())
            }
        }

        @Test(
            "grants at servers stay in a table that is taken over, and make way if their server is gone",
            .enabled(if: NetfilterTable.countsElements()))
        func takesOver() throws {
            var shape = TableShape.atGateway
            shape.isOwned = true
            func orphan() throws -> NetfilterTable {
                var old: NetfilterTable? = try .made(shape)
                #expect(old?.commit(Self.all) == nil)
                old = nil
                let table = try NetfilterTable()
                #expect(try table.claim("rpcwarden"))
                return table
            }
            func mayBeKept(_ table: NetfilterTable) throws -> Bool {
                try #require(try table.contents(of: "rpcwarden") { _, _ in true }).grantsMayBeKept
            }
            try inFreshNamespace {
                let table = try orphan()
                table.gateway = shape.gateway
                #expect(try mayBeKept(table))
                #expect(table.commit(.adoptTable(shape), .guardPort(Example.nfs(1))) == nil)
                let contents = try table.contents().atServers
                #expect(Set(contents.granted.map(\.key)) == [Self.grant4, Self.grant6])
                #expect(contents.guarded == [Example.nfs(1)] && contents.standing == [] && contents.callers == [])
            }
            try inFreshNamespace {
                let table = try orphan()
                var fewer = shape
                fewer.gateway = GatewayShape(addresses: [Example.server4])
                table.gateway = fewer.gateway
                #expect(try !mayBeKept(table), "a grant at a server that is gone")
                #expect(table.commit(.makeTable(fewer)) == nil)
            }
            try inFreshNamespace {
                let table = try orphan()
                #expect(try mayBeKept(table), "without a gateway, its sets don't count")
                #expect(table.commit(.adoptTable(shape))?.errno == ESTALE, "read without its servers")
                var alone = shape
                alone.gateway = nil
                #expect(try mayBeKept(table))
                #expect(table.commit(.adoptTable(alone)) == nil)
                #expect(!shell("nft list table inet rpcwarden").text.contains("_at"))
                #expect(try table.contents().granted.count == 2)
                #expect(try mayBeKept(table))
                #expect(table.commit(.adoptTable(shape))?.errno == ESTALE)
                table.gateway = shape.gateway
                #expect(try mayBeKept(table))
                #expect(table.commit(.adoptTable(shape)) == nil)
                #expect(try table.contents().granted.count == 2)
            }
        }

        @Test("a revoked grant stays away, whoever sends meanwhile; twins are read as one")
        func twins() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(.atGateway)
                #expect(table.commit(.guardPort(Example.nfs(1)), Example.issue(Self.grant4)) == nil)
                #expect(table.commit(.revoke(Self.grant4)) == nil)
                #expect(table.settle() == nil)
                #expect(try table.contents().granted == [])
                // As a packet does between the transaction and its end.
                let twin = "add element inet rpcwarden granted_at4 { 192.0.2.7 . 10.91.2.2 . tcp . 2049 timeout 1h }"
                #expect(table.commit(Example.issue(Self.grant4), .revoke(Self.grant4)) == nil)
                #expect(shell("nft '\(twin)'").status == 0)
                #expect(table.settle() == nil)
                #expect(try table.contents().granted == [])
            }
        }
    }
}
