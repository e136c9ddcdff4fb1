import Firewall
import Glibc
import Portmapper
import Testing

@testable import Netfilter

extension KernelTests {
    /// Real packets: the server in the test's namespace, the client in another, 192.0.2.1 and 192.0.2.7 on a veth.
    @Suite struct Packets {
        @Test("opens a guarded port to whom it is granted, for as long as it is")
        func opensAndCloses() throws {
            try withClient { client in
                let table = try NetfilterTable.made()
                let server = try TestSocket(Example.nfs, "0.0.0.0")
                defer { withExtendedLifetime(server) {} }
                #expect(client.connects(to: 2049))
                #expect(table.commit(.guardPort(Example.nfs)) == nil)
                #expect(!client.connects(to: 2049))
                let key = Example.grant(Example.client4)
                #expect(table.commit(Example.issue(key)) == nil)
                #expect(client.connects(to: 2049))
                #expect(try table.contents().granted.first?.packets ?? 0 > 0)
                #expect(table.commit(.revoke(key)) == nil)
                #expect(!client.connects(to: 2049))
                #expect(table.commit(.stand(Example.standing(.v4(0xc000_0200), .v4(0xc000_02ff)))) == nil)
                #expect(client.connects(to: 2049))
                #expect(table.commit(.unstand(Example.standing(.v4(0xc000_0200), .v4(0xc000_02ff)))) == nil)
                #expect(!client.connects(to: 2049))
                #expect(table.commit(.makeTable(TableShape(observes: true)), .guardPort(Example.nfs)) == nil)
                #expect(client.connects(to: 2049))
            }
        }

        @Test("renews a grant by its packets, to the table's timeout, and counts each packet twice")
        func renews() throws {
            try withClient { client in
                let table = try NetfilterTable.made(TableShape(keep: .seconds(7200)))
                let service = ServicePort(.udp, 2049)
                let server = try TestSocket(service, "0.0.0.0")
                defer { withExtendedLifetime(server) {} }
                let key = Example.grant(Example.client4, service)
                #expect(table.commit(.guardPort(service), Example.issue(key, timeout: .seconds(60))) == nil)
                client.sendDatagrams(5, to: 2049)
                let granted = try #require(try table.contents().granted.first)
                #expect(granted.expiresIn > .seconds(7000))
                #expect(granted.timeout == granted.expiresIn)
                // Once for the look-up and once for the update.
                #expect(granted.packets == 10)
            }
        }

        @Test("keeps a quarantined client from the portmapper")
        func quarantines() throws {
            try withClient { client in
                let table = try NetfilterTable.made()
                let server = try TestSocket(ServicePort(.tcp, 111), "0.0.0.0")
                defer { withExtendedLifetime(server) {} }
                #expect(client.connects(to: 111))
                #expect(table.commit(.quarantine(Example.client4, timeout: .seconds(60))) == nil)
                #expect(!client.connects(to: 111))
                #expect(table.commit(.release(Example.client4)) == nil)
                #expect(client.connects(to: 111))
            }
        }

        struct Client {
            let processID: String

            func connects(to port: Int) -> Bool {
                shell("nsenter -t \(processID) -n timeout 0.4 bash -c ': <>/dev/tcp/192.0.2.1/\(port)'").status == 0
            }

            func sendDatagrams(_ count: Int, to port: Int) {
                _ = shell(
                    "nsenter -t \(processID) -n bash -c 'for i in $(seq \(count)); do echo > /dev/udp/192.0.2.1/\(port); done'"
                )
            }
        }

        private func withClient(_ body: (Client) throws -> Void) throws {
            try inFreshNamespace {
                let spawned = shell("unshare -n sleep 30 > /dev/null 2>&1 & echo $!; sleep 0.05")
                let client = Client(processID: spawned.text.filter(\.isNumber))
                defer { _ = shell("kill \(client.processID)") }
                let made = shell(
                    """
                    ip link add server type veth peer name client netns \(client.processID) &&
                    ip addr add 192.0.2.1/24 dev server && ip link set server up &&
                    nsenter -t \(client.processID) -n sh -c 'ip addr add 192.0.2.7/24 dev client; ip link set client up'
                    """)
                try #require(made.status == 0, "\(made.text)")
                try body(client)
            }
        }
    }
}
