import Addresses
import Firewall
import Glibc
import Testing

@testable import Netfilter

extension KernelTests {
    /// Prints durations: `NETFILTER_MEASURE=1 swift test -c release -Xswiftc -enable-testing --filter Measure`.
    @Suite(.enabled(if: getenv("NETFILTER_MEASURE") != nil))
    struct Measure {
        private func time(_ what: String, times: Int = 1, _ body: () throws -> Void) rethrows {
            let clock = ContinuousClock()
            var each: [Duration] = []
            for _ in 0..<times { each.append(try clock.measure(body)) }
            each.sort()
            print("MEASURED \(what): median \(each[times / 2]), p99 \(each[times * 99 / 100])")
        }

        @Test("measures")
        func measures() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made(TableShape(grantsMax: 200_000))
                let transaction = Transaction(
                    table: "rpcwarden",
                    operations: [Example.issue(Example.grant(Example.client4), comment: "100003 3 tcp 2049 1000")])
                time("commit of 1 issue", times: 5000) { _ = table.commit(transaction) }
                var port: UInt16 = 0
                time("commit of 1 new guardPort", times: 5000) {
                    port += 1
                    _ = table.commit(.guardPort(ServicePort(.tcp, port)))
                }
                let revoke = Transaction(table: "rpcwarden", operations: [.revoke(Example.grant(Example.client4))])
                time("commit of 1 revoke", times: 5000) { _ = table.commit(revoke) }
                var client: UInt32 = 1 << 24
                time("commit of 1 issue of a new grant", times: 5000) {
                    client += 1
                    _ = table.commit(Example.issue(Example.grant(.v4(client)), comment: "100003 3 tcp 2049 1000"))
                }
                time("commit of 1 issueNew", times: 5000) {
                    client += 1
                    _ = table.commit(
                        .issueNew(
                            Example.grant(.v4(client)), timeout: .seconds(3600), comment: "100003 3 tcp 2049 1000"))
                }
                time("commit of 1 issueNew of what is there", times: 50) {
                    _ = table.commit(
                        .issueNew(
                            Example.grant(.v4(client)), timeout: .seconds(3600), comment: "100003 3 tcp 2049 1000"))
                }
                let issues = (1...10_000).map {
                    Example.issue(Example.grant(.v4($0)), comment: "100003 3 tcp 2049 1000")
                }
                time("commit of 10k issues") { #expect(table.commit(issues) == nil) }
                time("commit of 10k issues again", times: 5) { #expect(table.commit(issues) == nil) }
                time("commit of 1 issue at 10k", times: 5000) { _ = table.commit(transaction) }
                try time("contents at 10k", times: 5) { _ = try table.contents() }
                let stands = (0..<10_000).map {
                    Operation.addStanding(Example.standing(.v4($0 << 8), .v4($0 << 8 | 127)))
                }
                time("commit of 10k stands") { #expect(table.commit(stands) == nil) }
                time("commit of 1 stand at 10k", times: 20) {
                    _ = table.commit(.addStanding(Example.standing(.v4(1 << 30), .v4(1 << 30))))
                }
                time("commit of makeTable") { _ = table.commit(.makeTable(TableShape(grantsMax: 200_000))) }
                time("commit of makeTable, empty before", times: 20) {
                    _ = table.commit(.makeTable(TableShape(grantsMax: 200_000)))
                }
                let many = (1...100_000).map {
                    Example.issue(Example.grant(.v4($0)), comment: "100003 3 tcp 2049 1000")
                }
                time("commit of 100k issues") { #expect(table.commit(many) == nil) }
                try time("contents at 100k") { _ = try table.contents() }
                let adopted = [Operation.makeTable(TableShape())] + many.prefix(65_536)
                time("commit of makeTable and 65,536 issues") { #expect(table.commit(adopted) == nil) }
                try time("contents at 65,536") { _ = try table.contents() }
                for count in [1, 10, 128, 192, 1000] {
                    let keys = (1...count).map { Example.grant(.v4(UInt32($0 * 7))) }
                    try time("lifetimes of \(count) at 65,536", times: 200) {
                        _ = try table.lifetimes(of: keys, in: "rpcwarden")
                    }
                    try time("uses of \(count) at 65,536", times: 200) {
                        _ = try table.uses(of: keys, in: "rpcwarden")
                    }
                    let absent = (1...count).map { Example.grant(.v4(UInt32($0) + 1_000_000)) }
                    try time("lifetimes of \(count) absent at 65,536", times: 200) {
                        _ = try table.lifetimes(of: absent, in: "rpcwarden")
                    }
                }
                time("refusal of 1 issue, the set full", times: 50) { #expect(table.commit(transaction) != nil) }
                #expect(table.commit(.makeTable(TableShape())) == nil)
                let monitor = try TableMonitor(table: "rpcwarden", ownPortID: table.portID)
                time("commit of 1 issue, monitored", times: 5000) { _ = table.commit(transaction) }
                time("reading 5000 own events") { _ = monitor.readEvents() }
            }
        }

        @Test("measures listeners")
        func measuresListeners() throws {
            try inFreshNamespace {
                var sockets: [TestSocket] = []
                for port in 4000..<UInt16(4040) { sockets.append(try TestSocket(ServicePort(.tcp, port), "::")) }
                for port in 4000..<UInt16(4040) { sockets.append(try TestSocket(ServicePort(.udp, port), "0.0.0.0")) }
                defer { withExtendedLifetime(sockets) {} }
                let listeners = try Listeners()
                let udp = ServicePort(.udp, 4000)
                let tcp = ServicePort(.tcp, 4000)
                try time("isListening udp4 by 0.0.0.0", times: 2000) { _ = try listeners.isListening(udp, ipv4: true) }
                try time("isListening tcp4 by ::", times: 2000) { _ = try listeners.isListening(tcp, ipv4: true) }
                let all = Set((4000..<UInt16(4040)).flatMap { [ServicePort(.tcp, $0), ServicePort(.udp, $0)] })
                try time("listening to 80 ports", times: 500) { _ = try listeners.listening(all) }
            }
            // In the machine's namespace, with its own sockets.
            let listeners = try Listeners()
            try time("isListening tcp4 nobody", times: 2000) {
                _ = try listeners.isListening(ServicePort(.tcp, 9), ipv4: true)
            }
            let flows = try Flows()
            try time("cut nothing", times: 20) { _ = try flows.cut(client: .v4(9), service: Example.nfs) }
        }

        @Test("measures cuts among many flows")
        func cuts() throws {
            try inFreshNamespace {
                let table = try NetfilterTable.made()
                let filled = shell(
                    """
                    python3 -c '
                    import socket
                    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    for i in range(50000):
                        try: s.sendto(b"x", ("127.%d.%d.%d" % (i >> 16, i >> 8 & 255, i & 255), 20000))
                        except OSError: pass
                    '; cat /proc/sys/net/netfilter/nf_conntrack_count
                    """)
                print("MEASURED among \(filled.text) flows")
                let flows = try Flows()
                let client = AddressRange(.v4(0x7f00_0001), .v4(0x7f00_0001))
                for count: UInt16 in [1, 8, 9, 3000] {
                    let cuts = (0..<count).map { (ServicePort(.udp, 4000 + $0), Set([client])) }
                    try time("cut of \(count) services", times: 3) {
                        _ = try flows.cut(Dictionary(uniqueKeysWithValues: cuts))
                    }
                }
                withExtendedLifetime(table) {}
            }
        }
    }
}
