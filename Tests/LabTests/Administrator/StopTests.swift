import Testing

extension LabTests {
    @Suite("Stop")
    struct StopTests {
        private static func isEnded(_ lab: Lab) async throws {
            try await eventually("the daemon has ended") { try !lab.isRunning("daemon") }
        }

        @Test("ends the daemon, and leaves guard and grants", .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func stays() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            let output = try lab.rpcwarden("stop")
            #expect(output.isSuccess && output.text == "stopped: guard and grants stay in the kernel\n", "\(output)")
            try await Self.isEnded(lab)
            #expect(try lab.events(.stopped).map(\.detail) == ["guard and grants stay in the kernel"])
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
        }

        @Test(
            "what the rate limit kept out of the log is summed up before the last line",
            .lab(.rpcbind, .daemon, settings: "limits: {calls-per-second: 10000}"))
        func sums() async throws {
            let lab = try Lab.current
            let storm =
                "storm --to 10.77.1.1 --over udp --count 500 --program 100000 --version 2 --service udp --parallel 4"
            #expect(try lab.peer(.approved, storm).text.contains("unanswered=0"))
            let permitted = try lab.counts()["permitted"]
            #expect(try lab.rpcwarden("stop").isSuccess)
            try await Self.isEnded(lab)
            let events = try lab.events()
            let sums = events.filter { $0.event == .suppressed && $0.detail == "permitted" }.compactMap(\.count)
            #expect(sums.count == 1 && AuditSum(events).permitted + sums.reduce(0, +) == permitted, "\(sums)")
            #expect(events.suffix(2).map(\.event) == [.suppressed, .stopped])
        }

        @Test(
            "--open takes the table away too, and the next start guards anew",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()), arguments: [true, false])
        func opens(isOwned: Bool) async throws {
            let lab = try Lab.current
            if !isOwned {
                try lab.configure("firewall: {own-table: false}", policy: Policies.echoes())
                try await lab.restartDaemon()
            }
            let echo = Echo()
            try await lab.start(echo)
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            let output = try lab.rpcwarden("stop", "--open")
            #expect(output.isSuccess && output.text == "stopped: nothing is guarded any more\n", "\(output)")
            try await Self.isEnded(lab)
            #expect(try lab.events(.stopped).last?.detail == "nothing is guarded any more")
            #expect(try lab.nft("list tables").text.isEmpty)
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "connected")

            let unreachable = try lab.rpcwarden("stop", "--open")
            #expect(unreachable.status == 3, "\(unreachable)")
            #expect(unreachable.errors.contains("nft delete table inet rpcwarden"), "\(unreachable)")

            try await lab.restartDaemon()
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
        }

        @Test(
            "guard unload takes the table away that a stopped daemon left",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func unloads() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            #expect(try lab.rpcwarden("stop").isSuccess)
            try await Self.isEnded(lab)
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            let gone = try lab.rpcwarden("guard", "unload")
            #expect(gone.text == "table inet rpcwarden is gone: every service port is open\n", "\(gone)")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "connected")
            #expect(try lab.rpcwarden("guard", "unload").text == "there is no table inet rpcwarden\n")
        }

        @Test(
            "a table of our name that is not ours: the first start refuses it, says how to go on, and leaves it alone",
            .lab(.rpcbind))
        func foreignTable() async throws {
            let lab = try Lab.current
            let theirs = ["add table inet rpcwarden", "add set inet rpcwarden mine { type inet_service; }"]
            for words in theirs { #expect(try lab.nft(words).isSuccess) }
            let before = try lab.nft("list ruleset").text
            try lab.configure(policy: Policies.standard)
            let refused = try lab.rpcwarden("serve")
            #expect(refused.status == 2, "\(refused)")
            #expect(
                refused.errors.contains("inet rpcwarden") && refused.errors.contains("nft delete table inet rpcwarden")
                    && refused.errors.contains("firewall.table"), "\(refused)")
            #expect(try lab.nft("list ruleset").text == before)
            #expect(try lab.events(.started).isEmpty)

            try await lab.serve("firewall: {table: other}")
            #expect(try lab.nft("list ruleset").text.contains(before))
            try lab.kill("daemon")
            #expect(try lab.nft("delete table inet rpcwarden").isSuccess)
            try await lab.serve()
        }
    }
}
