import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite("Exchanging all ranges")
    struct Exchange {
        private static func ranges(_ count: UInt32, at base: UInt32, _ service: ServicePort = Example.nfs)
            -> [StandingKey]
        {
            (0..<count).map { Example.standing(.v4(base + $0 << 8), .v4(base + $0 << 8 + 63), service) }
        }

        /// The sets and chains, sorted, so that the order of their creation does not show.
        private static func listing() -> [Substring] {
            // Removes an element that expires a moment later.
            shell("nft list table inet rpcwarden | sed '/elements = { udp timeout 200ms/d'").text.split(
                separator: "\n\n"
            )
            .sorted()
        }

        private static let six = Example.standing(.v6(2), .v6(9))
        private static let old = ranges(300, at: 10 << 24)
        private static let new = ranges(300, at: 10 << 24 + 64)

        @Test(
            "leaves the table as if the new ones had been put into it at once, whoever it belongs to",
            arguments: [TableShape.Management.guardPorts, .sets], [false, true])
        func asIfMade(management: TableShape.Management, isOwned: Bool) throws {
            var shape = TableShape(management: management)
            shape.isOwned = isOwned && management == .guardPorts && NetfilterTable.supportsOwnedTables
            try inFreshNamespace {
                let table = try NetfilterTable.made(shape)
                let stands = (Self.new + [Self.six]).map(Operation.addStanding)
                #expect(table.commit(stands) == nil)
                let expected = Self.listing()
                #expect(table.commit([.makeTable(shape)] + Self.old.map(Operation.addStanding)) == nil)
                for _ in 0..<2 {
                    #expect(
                        table.commit(
                            [.guardPort(Example.nfs), .replaceStanding] + stands + [.unguardPort(Example.nfs)])
                            == nil)
                    #expect(Self.listing() == expected)
                }
                #expect(try table.contents().standing == Set(Self.new + [Self.six]))
                #expect(table.commit(.replaceStanding) == nil)
                #expect(try table.contents().standing == [])
            }
        }

        @Test("leaves what the operations leave in their order, as their ceiling counts them")
        func inOrder() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                #expect(table.commit(Self.old.map(Operation.addStanding)) == nil)
                let (before, stays, goes) = (Self.new[0], Self.new[1], Self.new[2])
                #expect(
                    table.commit([
                        .addStanding(before), .replaceStanding, .addStanding(stays), .addStanding(goes),
                        .removeStanding(goes),
                    ]) == nil)
                #expect(try table.contents().standing == [stays])
            }
        }

        @Test("does nothing where a range is refused, and what is left of it is in nobody's way")
        func refused() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                #expect(table.commit(Self.old.map(Operation.addStanding)) == nil)
                let overlapping = Example.standing(.v4(10 << 24 + 60), .v4(10 << 24 + 70))
                let stands = (Self.new + [overlapping]).map(Operation.addStanding)
                #expect(table.commit([.replaceStanding] + stands)?.operation == stands.count)
                #expect(try table.contents().standing == Set(Self.old))
                #expect(table.commit([.replaceStanding] + Self.new.map(Operation.addStanding)) == nil)
                #expect(try table.contents().standing == Set(Self.new))
                #expect(!shell("nft list table inet rpcwarden").text.contains("_next"))
            }
        }

        @Test(
            "lets those in who stand before and after, at any moment, and counts what it drops on",
            arguments: [1, 3000])
        func underFire(count: UInt32) throws {
            try withClient { client in
                let table = try NetfilterTable.made()
                let service = ServicePort(.udp, 2049)
                let server = try TestSocket(service, "0.0.0.0")
                defer { withExtendedLifetime(server) {} }
                let (narrow, wide) = (
                    Example.standing(Example.client4, Example.client4, service),
                    Example.standing(.v4(0xc000_0200), .v4(0xc000_02ff), service)
                )
                let sides = [
                    [narrow] + Self.ranges(count, at: 10 << 24, service),
                    [wide] + Self.ranges(count, at: 10 << 24 + 64, service),
                ]
                #expect(table.commit([.guardPort(service)] + sides[0].map(Operation.addStanding)) == nil)
                let other = try client.socket(to: service, from: "192.0.2.8")
                _ = Glibc.send(other.descriptor, "x", 1, 0)
                let sender = try Sender(client.socket(to: service), pauseMicroseconds: 0)
                for round in 1...4 {
                    #expect(table.commit([.replaceStanding] + sides[round % 2].map(Operation.addStanding)) == nil)
                }
                #expect(sender.stop() > 100)
                #expect(try table.drops(of: "rpcwarden").guarded == 1, "that of the other client, before")
            }
        }
    }
}
