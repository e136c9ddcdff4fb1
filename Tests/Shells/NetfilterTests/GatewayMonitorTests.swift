import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    @Suite struct GatewayMonitor {
        @Test("tells which elements of servers another added or deleted, and keeps silent about our own")
        func elements() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(.atGateway)
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: table.portID)
                monitor.gateway = TableShape.atGateway.gateway
                let elements = Example.atServers + Example.callers
                #expect(table.commit(elements) == nil)
                #expect(table.commit(elements.map(\.undoing)) == nil)
                #expect(table.commit(elements) == nil)
                #expect(monitor.readEvents() == [])
                let result = shell(
                    """
                    nft 'delete element inet rpcwarden granted_at4 { 192.0.2.7 . 10.91.2.2 . tcp . 2049 };
                    delete element inet rpcwarden standing_at4 { 10.0.0.0/8 . 10.91.2.2 . tcp . 2049 };
                    delete element inet rpcwarden callers4 { 10.91.2.2 . 10.77.1.0-10.77.1.254 };
                    add element inet rpcwarden guarded_at6 { fd91:2::2 . tcp . 22 };
                    add element inet rpcwarden remembered_at6 { 2001:db8::7 . fd91:2::2 . tcp . 2049 timeout 1m };
                    add element inet rpcwarden guarded_at4 { 10.91.2.9 . tcp . 22 };
                    add element inet rpcwarden servers4 { 10.91.2.9 };
                    delete element inet rpcwarden closed_at4 { 10.91.2.2 . tcp . 111 }'
                    """)
                #expect(result.status == 0, "\(result.text)")
                let changes = monitor.readEvents().compactMap(\.change)
                #expect(
                    changes.map(\.what) == [
                        .elementDeleted(.granted(Example.grant(Example.client4, Example.nfs(1)))),
                        .elementDeleted(
                            .standing(Example.standing(.v4(0x0a00_0000), .v4(0x0aff_ffff), Example.nfs(1)))),
                        .elementDeleted(.callers(Example.callers4)),
                        .elementAdded(.guarded(ServicePort(.tcp, 22, at: ServerID(rawValue: 2)))),
                        .elementAdded(.remembered(Example.grant(Example.client6, Example.nfs(2)))),
                        .elementAdded(nil), .elementAdded(nil), .elementDeleted(nil),
                    ])
                #expect(changes.allSatisfy { !$0.isOwn && $0.writer?.name == "nft" })
            }
        }

        @Test("sees a flushed chain of the gateway", arguments: ["intercept", "forward", "guarded_port_at"])
        func chains(chain: String) throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(.atGateway)
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: table.portID)
                monitor.gateway = TableShape.atGateway.gateway
                _ = shell("nft flush chain inet rpcwarden \(chain)")
                let changes = monitor.readEvents().compactMap(\.change)
                #expect(!changes.isEmpty && changes.allSatisfy { $0.what == .definition && !$0.isOwn })
            }
        }

        @Test("without a gateway, sets of these names are the administrator's")
        func withoutGateway() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: table.portID)
                #expect(
                    shell("nft 'add set inet rpcwarden servers4 { type ipv4_addr; elements = { 192.0.2.1 } }'").status
                        == 0)
                #expect(monitor.readEvents().compactMap(\.change?.what) == [.definition, .definition])
            }
        }
    }
}
