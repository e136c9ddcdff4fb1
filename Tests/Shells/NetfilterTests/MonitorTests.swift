import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct MonitorTests {
        @Test("tells another's delete of the table from our own making of it, and names who did it")
        func foreignDelete() throws {
            try inFreshNamespace {
                let table = try NetfilterTable()
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: table.portID)
                #expect(monitor.readEvents().isEmpty)
                #expect(table.commit(.makeTable(TableShape())) == nil)
                let own = monitor.readEvents().compactMap(\.change)
                #expect(own.map(\.what).contains(.tableMade) && own.map(\.what).contains(.definition))
                #expect(own.allSatisfy { $0.isOwn && $0.table == "rpcwarden" })

                _ = shell("nft delete table inet rpcwarden")
                let foreign = monitor.readEvents().compactMap(\.change)
                #expect(foreign.map(\.what).contains(.tableDeleted))
                #expect(foreign.allSatisfy { !$0.isOwn && $0.table == "rpcwarden" && $0.writer?.name == "nft" })
                #expect(foreign.allSatisfy { ($0.writer?.processID ?? 0) > 1 })
            }
        }

        @Test("tells of nothing while nobody needs to know, and of what comes after")
        func following() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: table.portID)
                for _ in 0..<2 { try monitor.follow(false) }
                _ = shell("nft 'add element inet rpcwarden guarded { tcp . 22 }'")
                #expect(monitor.readEvents().isEmpty)
                for _ in 0..<2 { try monitor.follow(true) }
                _ = shell("nft 'add element inet rpcwarden guarded { tcp . 23 }'")
                let told = monitor.readEvents().compactMap(\.change).map(\.what)
                #expect(told == [.elementAdded(.guarded(ServicePort(.tcp, 23)))])
            }
        }

        @Test("tells which of our elements another added or deleted")
        func foreignElements() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: table.portID)
                #expect(table.commit(Example.operations) == nil)
                // The shield's chain.
                #expect(
                    monitor.readEvents().allSatisfy { $0.change.map { $0.isOwn && $0.what == .definition } == true })

                let result = shell(
                    """
                    nft 'delete element inet rpcwarden granted4 { 192.0.2.7 . tcp . 2049 };
                    delete element inet rpcwarden standing4 { 10.0.0.0/8 . tcp . 2049 };
                    add element inet rpcwarden guarded { tcp . 22 };
                    add element inet rpcwarden quarantined6 { 2001:db8::9 timeout 1m };
                    add set inet rpcwarden theirs { type inet_service; };
                    add element inet rpcwarden theirs { 9 };
                    add chain inet rpcwarden theirs;
                    add rule inet rpcwarden theirs tcp dport { 8, 9 } accept;
                    add element inet rpcwarden standing4 { 0.0.0.0/0 . tcp . 1-65535 }'
                    """)
                #expect(result.status == 0, "\(result.text)")
                let changes = monitor.readEvents().compactMap(\.change)
                #expect(
                    changes.map(\.what) == [
                        .elementDeleted(.granted(Example.grant(Example.client4))),
                        .elementDeleted(.standing(Example.standing(.v4(0x0a00_0000), .v4(0x0aff_ffff)))),
                        .elementAdded(.guarded(ServicePort(.tcp, 22))),
                        .elementAdded(.quarantined(.v6(IPv6Bits(0x2001_0db8 << 96 | 9)))),
                        .definition, .definition, .definition, .definition, .definition, .definition, .definition,
                        .elementAdded(nil),
                    ])
                #expect(changes.allSatisfy { !$0.isOwn })
            }
        }

        @Test("sees a flushed ruleset and a deleted rule")
        func flush() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: table.portID)
                _ = shell("nft flush chain inet rpcwarden input")
                // Four rules, and the anonymous set { tcp, udp } of one of them.
                let changes = monitor.readEvents().compactMap(\.change)
                #expect(changes.map(\.what) == Array(repeating: .definition, count: 5))
                #expect(changes.allSatisfy { !$0.isOwn })
                _ = shell("nft flush ruleset")
                #expect(monitor.readEvents().compactMap(\.change?.what).contains(.tableDeleted))
            }
        }

        @Test("keeps silent about tables of other families")
        func otherFamily() throws {
            try inFreshNamespace {
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: 1)
                _ = shell("nft add table ip rpcwarden")
                #expect(monitor.readEvents().isEmpty)
            }
        }

        @Test("keeps silent about other tables, however large their transactions")
        func otherTable() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                #expect(table.commit([.makeTable(TableShape(name: "theirs"))]) == nil)
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: 1, receiveBufferBytes: 64 << 20)
                let theirs = (1...20_000).map { Example.issue(Example.grant(.v4($0))) }
                #expect(table.commit(Transaction(table: "theirs", operations: theirs)) == nil)
                #expect(table.commit(.guardPort(Example.nfs)) == nil)
                #expect(monitor.readEvents().compactMap(\.change?.what) == [.elementAdded(.guarded(Example.nfs))])
            }
        }

        @Test("is readable when something changed, and not before")
        func isReadable() throws {
            try inFreshNamespace {
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: 1)
                var poll = pollfd(fd: monitor.socket.descriptor, events: Int16(POLLIN), revents: 0)
                #expect(Glibc.poll(&poll, 1, 0) == 0)
                _ = shell("nft add table inet rpcwarden")
                #expect(Glibc.poll(&poll, 1, 10_000) == 1)
            }
        }

        @Test("reports an overrun, and goes on afterwards")
        func overrun() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: 1, receiveBufferBytes: 1 << 16)
                #expect(table.commit((1...2_000).map { Example.issue(Example.grant(.v4($0))) }) == nil)
                #expect(monitor.readEvents().last == .overrun)
                #expect(table.commit(.guardPort(Example.nfs)) == nil)
                #expect(monitor.readEvents().compactMap(\.change?.what) == [.elementAdded(.guarded(Example.nfs))])
            }
        }
    }
}

extension TableChange {
    var change: Change? {
        switch self {
        case .changed(let change): change
        case .overrun: nil
        }
    }
}
