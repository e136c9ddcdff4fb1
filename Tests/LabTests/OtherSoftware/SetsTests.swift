import Testing

extension LabTests {
    @Suite("With `manage: sets` and the rules of docs/COEXISTENCE.md")
    struct SetsTests {
        private static let settings = "firewall: {manage: sets}"

        private static func load(_ lab: Lab, before: String = "") throws {
            try lab.write(before + Recipe("sets").text + "\n", to: "rules.nft")
            try lab.shell("nft -f \(lab.state)/rules.nft")
        }

        private static func chains(_ lab: Lab) throws -> Set<String> {
            let lines = try lab.shell("nft list table inet rpcwarden").split(separator: "\n")
            return Set(lines.filter { $0.hasPrefix("\tchain ") }.map { String($0.split(separator: " ")[1]) })
        }

        private static let ownChains: Set = ["host_input", "host_output", "rpc_service", "rpc_admitted"]

        @Test(
            "a lookup opens the port to its client alone, whether rules or daemon came first", .lab(.rpcbind),
            arguments: [true, false])
        func opens(areRulesFirst: Bool) async throws {
            let lab = try Lab.current
            if areRulesFirst { try Self.load(lab) }
            try await lab.serve(Self.settings, policy: Policies.echoes())
            if !areRulesFirst { try Self.load(lab) }
            let reach = try await Reach(in: lab)
            #expect(try reach.isClosed(), "nobody has asked yet")
            try reach.expectOnlyApproved("after the lookup")
            #expect(try Self.chains(lab) == Self.ownChains, "no chain of ours")
            let table = try lab.shell("nft list table inet rpcwarden")
            #expect(!table.contains("flags owner") && !table.contains("progname"), "\(table)")
            #expect(try lab.grants().allSatisfy { $0.packets > 0 }, "the rules renew")
            #expect(try lab.listing("status", as: StatusReport.self).table.intact)
            #expect(try lab.events(.tampered).isEmpty, "the administrator's chains are no tampering")
        }

        @Test("an opening that always stands needs no lookup", .lab(.rpcbind))
        func standing() async throws {
            let lab = try Lab.current
            try Self.load(lab)
            try await lab.serve(Self.settings, policy: Policies.echoes(open: "always"))
            let reach = try await Reach(in: lab)
            try await eventually("open") { try reach.reached() == reach.everywhere }
            #expect(try reach.isClosed(to: .stranger))
            #expect(try lab.rpcwarden("stop", "--open").isSuccess)
            #expect(try lab.elements(of: "guarded").isEmpty)
            #expect(try Self.chains(lab) == Self.ownChains)
            #expect(try reach.isClosed(), "the policy of host_input decides now")
        }

        @Test("a quarantined stranger doesn't reach port 111, and others do", .lab(.rpcbind))
        func quarantine() async throws {
            let lab = try Lab.current
            try Self.load(lab)
            try await lab.serve(
                Self.settings + "\nquarantine: {after: 5, within: 10s, for: 60s}", policy: Policies.echoes())
            func ask(_ server: String) throws -> Answer {
                try lab.ask(.stranger, .null(.v2), to: server, over: .tcp, options: "--wait 300")
            }
            for server in ["10.77.4.1", "fd77:4::1"] {
                #expect(try ask(server).isClosedWithoutByte)
                let asks = Array(repeating: Ask(.null(.v2), to: server, over: .tcp), count: 5)
                _ = try lab.ask(.stranger, asks)
                let set = server.contains(":") ? "quarantined6" : "quarantined4"
                try await eventually("quarantined") { try !lab.elements(of: set).isEmpty }
                #expect(try !ask(server).isClosedWithoutByte, "the SYN is dropped")
            }
            #expect(try lab.ask(.approved, .null(.v2), over: .tcp).body != nil)
        }

        @Test("revoke cuts the established flow, and an expired grant doesn't", .lab(.rpcbind))
        func revoke() async throws {
            let lab = try Lab.current
            try Self.load(lab)
            try await lab.serve(Self.settings, policy: Policies.echoes())
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            try lab.spawnPeer(
                .approved, "flow",
                "connect --to 10.77.1.1 --port 4001 --over tcp --send ping --repeat 1000 --every 50 --wait 1000")
            func rounds() -> Int { lab.log("flow").split(separator: "\n").count { $0.hasPrefix("received") } }
            try await eventually("the flow flows") { rounds() > 3 }
            // Simulates an expiry; the stopped daemon does not notice.
            try lab.kill("daemon", "STOP")
            #expect(try lab.nft("flush set inet rpcwarden granted4").isSuccess)
            let before = rounds()
            try await eventually("the flow outlives its grant") { rounds() > before + 5 }
            #expect(try lab.connect(echo) == "timeout")
            try lab.kill("daemon", "CONT")
            try await lab.event(.restored)

            #expect(try lab.rpcwarden("revoke", "--client", "10.77.1.2").isSuccess)
            try await eventually("the flow is cut") { lab.log("flow").contains("silence") }
            #expect(try lab.connect(echo) == "timeout")
            #expect(try lab.grants().isEmpty)
        }

        @Test("the administrator's chains and the grants outlive the daemon, and it adopts both", .lab(.rpcbind))
        func restart() async throws {
            let lab = try Lab.current
            try Self.load(lab)
            try await lab.serve(Self.settings, policy: Policies.echoes())
            let reach = try await Reach(in: lab)
            #expect(try reach.lookedUp() == reach.everywhere)
            let before = try lab.shell("nft -s list chain inet rpcwarden rpc_service")
            let issued = try lab.grants().map(\.issued)
            for signal in ["TERM", "KILL"] {
                try lab.kill("daemon", signal)
                #expect(try reach.reached() == reach.everywhere)
                #expect(try reach.isClosed(to: .stranger))
                try await lab.restartDaemon()
                #expect(try Self.chains(lab) == Self.ownChains)
                #expect(try lab.shell("nft -s list chain inet rpcwarden rpc_service") == before)
                #expect(try lab.grants().map(\.issued) == issued)
            }
            try reach.expectOnlyApproved("after the restarts")
        }

        @Test("what others do to the sets is undone, and the administrator's chains stay", .lab(.rpcbind))
        func tampering() async throws {
            let lab = try Lab.current
            try Self.load(lab)
            try await lab.serve(Self.settings, policy: Policies.echoes())
            let reach = try await Reach(in: lab)
            #expect(try reach.lookedUp() == reach.everywhere)
            let changes = [
                "flush set inet rpcwarden granted4", "delete element inet rpcwarden guarded { tcp . 20048 }",
                "add element inet rpcwarden granted4 { 10.77.4.2 . tcp . 20048 }",
                "add element inet rpcwarden standing4 { 0.0.0.0/0 . tcp . 1-65535 }",
            ]
            for (index, change) in changes.enumerated() {
                #expect(try lab.nft(change).isSuccess)
                try await eventually("restored after \(change)") {
                    try lab.events(.restored).count == index + 1
                }
                #expect(try reach.reached() == reach.everywhere, "\(change)")
                #expect(try reach.isClosed(to: .stranger), "\(change)")
            }
            #expect(try lab.events(.tampered).count == changes.count)
            #expect(try Self.chains(lab) == Self.ownChains)
        }

        @Test("a reload of the rules with `flush ruleset` costs the sets a second at most", .lab(.rpcbind))
        func flushed() async throws {
            let lab = try Lab.current
            try Self.load(lab)
            try await lab.serve(Self.settings, policy: Policies.echoes())
            let reach = try await Reach(in: lab)
            #expect(try reach.lookedUp() == reach.everywhere)
            try Self.load(lab, before: "flush ruleset\n")
            try await lab.event(.restored)
            #expect(try Self.chains(lab) == Self.ownChains)
            #expect(try reach.reached() == reach.everywhere)
            #expect(try reach.isClosed(to: .stranger))
            #expect(try lab.nft("flush ruleset").isSuccess)
            try await eventually("the sets are back") { try lab.events(.restored).count == 2 }
            #expect(try Self.chains(lab) == [], "the administrator's own chains are not")
        }

        @Test("what the document says that doesn't work doesn't: revival, probes, and observe mode", .lab(.rpcbind))
        func leftOut() async throws {
            let lab = try Lab.current
            try Self.load(lab)
            try await lab.serve("firewall: {manage: sets, keep: 3s, revive: 1h}", policy: Policies.echoes())
            let reach = try await Reach(in: lab)
            #expect(try reach.lookedUp() == reach.everywhere)
            try await eventually("expired") { try lab.grants().isEmpty }
            #expect(try reach.isClosed(), "the client's packet doesn't bring its grant back")
            #expect(try lab.events(.probed).isEmpty && lab.events(.renewed).isEmpty)

            try lab.configure("mode: observe\n\(Self.settings)", policy: Policies.echoes())
            #expect(try lab.rpcwarden("reload").isSuccess)
            #expect(try reach.isClosed(to: .stranger), "the administrator's rules drop in observe mode, too")
            #expect(try Self.chains(lab) == Self.ownChains)
        }
    }
}
