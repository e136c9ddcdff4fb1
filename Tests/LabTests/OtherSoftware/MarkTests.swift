import Testing

extension LabTests {
    @Suite("The mark bit")
    struct MarkTests {
        /// Drops packets at the service's port without exactly this mark; 0x2 was set before.
        private static func gate(_ mark: String) -> String {
            """
            nft -f - <<'END'
            table inet gate
            delete table inet gate
            table inet gate {
                chain before {
                    type filter hook prerouting priority mangle; policy accept;
                    meta mark set 0x2
                    ct mark set ct mark or 0x4
                }
                chain input {
                    type filter hook input priority filter; policy accept;
                    th dport 4001 meta mark != \(mark) drop
                }
            }
            END
            """
        }

        @Test(
            "is set in what is admitted, as firewall.mark says, and other bits stay",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func bit() async throws {
            let lab = try Lab.current
            let reach = try await Reach(in: lab, port: 4001)
            #expect(try reach.lookedUp() == reach.everywhere)
            let marks = [
                ("", "0x2002"), ("firewall: {mark: 0x400}", "0x402"), ("firewall: {mark: 0x80000000}", "0x80000002"),
                ("firewall: {mark: 0}", "0x2"),
            ]
            for (settings, mark) in marks {
                try lab.configure(settings, policy: Policies.echoes())
                #expect(try lab.rpcwarden("reload").isSuccess)
                try lab.shell(Self.gate(mark))
                #expect(try reach.reached() == reach.everywhere, "\(mark)")
                // The connection mark does not depend on firewall.mark.
                let flows = try lab.shell("conntrack -L -p tcp --dport 4001 --src 10.77.1.2")
                #expect(flows.contains("mark=\(0x2000_0004)"), "\(flows)")
            }
            try lab.shell(Self.gate("0x2006"))
            #expect(try reach.isClosed(), "the gate sees the mark")
        }

        @Test(
            "is set in what stands always open, too", .lab(.rpcbind, .daemon, policy: Policies.echoes(open: "always")))
        func standing() async throws {
            let lab = try Lab.current
            let reach = try await Reach(in: lab, port: 4001)
            try await eventually("open") { try reach.reached() == reach.everywhere }
            try lab.shell(Self.gate("0x2002"))
            #expect(try reach.reached() == reach.everywhere)
        }

        @Test(
            "is not set in what rpcwarden has no opinion of", .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func unguarded() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo, isRegistered: false)
            try lab.shell(Self.gate("0x2"))
            #expect(try lab.connect(echo) == "connected")
        }
    }
}
