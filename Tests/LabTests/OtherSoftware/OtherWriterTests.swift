import Testing

extension LabTests {
    @Suite("While others write nftables")
    struct OtherWriterTests {
        private static let settings = "limits: {calls-per-second: 10000}"
        private static let shared = settings + "\nfirewall: {own-table: false}"

        /// Commands that load `count` elements into a separate table.
        private static func load(_ count: Int) -> [String] {
            let elements = (0..<count).map { "11.\($0 >> 16).\($0 >> 8 & 255).\($0 & 255)" }.joined(separator: ", ")
            return [
                "add table inet theirs", "delete table inet theirs", "add table inet theirs",
                "add set inet theirs blocked { type ipv4_addr; }", "add element inet theirs blocked { \(elements) }",
            ]
        }

        @Test(
            "what is tampered with inside more events than can be followed is undone all the same",
            .lab(.rpcbind, .daemon, settings: shared, policy: Policies.echoes()), arguments: [false, true])
        func overrun(isDaemonStopped: Bool) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            let tampering = [
                "delete element inet rpcwarden guarded { tcp . 4001 }",
                "add element inet rpcwarden granted4 { 10.77.4.2 . tcp . 4001 }",
                "delete element inet rpcwarden granted4 { 10.77.1.2 . tcp . 4001 }",
            ]
            let file = try lab.ruleset(Self.load(100_000) + tampering, named: "flood.nft")
            if isDaemonStopped { try lab.kill("daemon", "STOP") }
            #expect(try lab.nft("-f \(file)").isSuccess)
            if isDaemonStopped { try lab.kill("daemon", "CONT") }
            let event = try await lab.event(.tampered)
            // A running daemon may keep up with the changes.
            if isDaemonStopped { #expect(event.detail == "more changes than could be followed") }
            try await lab.event(.restored)
            #expect(try lab.elements(of: "guarded").contains("tcp . 4001"))
            #expect(try lab.kernelGrants() == ["10.77.1.2 tcp/4001"])
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")

            #expect(try lab.nft("delete element inet rpcwarden guarded { tcp . 4001 }").isSuccess)
            try await lab.event(.tampered) { $0.detail?.hasPrefix("guarded tcp/4001 deleted by nft") == true }
        }

        @Test(
            "a set of theirs, too large to be followed, is no tampering with a table that the daemon owns",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()))
        func largeSet() async throws {
            let lab = try Lab.current
            try await lab.start(Echo())
            let before = try lab.counts()["commits"]
            let file = try lab.ruleset(Self.load(100_000), named: "large.nft")
            #expect(try lab.nft("-f \(file)").isSuccess)
            // The service becomes guarded at a later tick than the one that reads the changes.
            try await lab.start(Echo(program: Echo.programs[1], port: 4002))
            #expect(try lab.events(.tampered).isEmpty)
            #expect(try lab.counts()["commits"] == before.map { $0 + 1 })
        }

        @Test(
            "a thousand lookups are answered and let in, and the listings are whole",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()))
        func churn() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            let file = try lab.ruleset(Self.load(3), named: "churn.nft")
            try lab.spawnLoop("writer", "nft -f \(file)")
            let output = try lab.peer(.approved, lab.storm(echo, count: 1000, from: "10.78.1.1"), seconds: 60)
            #expect(tally(output)["ok"] == 1000, "\(output)")
            for _ in 0..<10 { #expect(try lab.listedGrants().count == 1000) }
            #expect(try lab.listing("status", as: StatusReport.self).table.intact)
            #expect(try lab.counts()["commit_failures"] == 0)
            try await lab.restartDaemon("KILL")
            try lab.kill("writer", "KILL")
            #expect(lab.log("writer").isEmpty, "it wrote all the time")
            #expect(try lab.listedGrants() == lab.kernelGrants())
            #expect(try lab.kernelGrants().count == 1000, "adopted whole")
            #expect(try lab.events(.denied).isEmpty)
        }

        @Test(
            "who adds and deletes our elements, and the table, while clients ask, keeps none of them out",
            .lab(.rpcbind, .daemon, settings: shared, policy: Policies.echoes()))
        func elements() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            let all = (0..<600).map { "10.78.\(1 + (1 + $0) / 256).\((1 + $0) % 256) . tcp . 4001" }
            let add = try lab.ruleset(
                ["add element inet rpcwarden granted4 { \(all.joined(separator: ", ")) }"], named: "add.nft")
            // In parts: nft deletes no element if one is missing.
            let delete = try lab.ruleset(["flush set inet rpcwarden granted4"], named: "delete.nft")
            let restored = "until nft list set inet rpcwarden granted4 >/dev/null 2>&1; do sleep 0.05; done"
            try lab.spawnLoop(
                "meddler",
                "nft -f \(add); sleep 0.03; nft -f \(delete); sleep 0.3; nft delete table inet rpcwarden; \(restored); sleep 0.3"
            )
            // Each SYN may find the ports shut: TCP sends it again after 1, 3, 7 and 15 s.
            let storm = lab.storm(echo, count: 600, from: "10.78.1.1", parallel: 2, wait: 20_000)
            var output = try lab.peer(.approved, storm)
            #expect(tally(output)["ok"] == 600, "\(output)")
            // Again: now the ledger has these grants, and the kernel may lack them.
            output = try lab.peer(.approved, storm)
            #expect(tally(output)["ok"] == 600, "\(output)")
            let changes = ["tcp/4001 added by nft", "tcp/4001 deleted by nft", "table deleted by nft"]
            let tampered = { try lab.events(.tampered).compactMap(\.detail).joined(separator: "; ") }
            // By now, at the latest, its deletions have found grants to delete.
            try await eventually("each of its changes is told") { try changes.allSatisfy(tampered().contains) }
            try lab.kill("meddler", "KILL")
            #expect(lab.log("meddler").isEmpty, "it meddled all the time")
            #expect(try lab.events(.denied).isEmpty)
            try await eventually("kernel and ledger agree") {
                // The meddler may have been killed right after it deleted the table.
                guard try lab.nft("list table inet rpcwarden").isSuccess else { return false }
                let kernel = try lab.kernelGrants()
                return try kernel.count == 600 && kernel == lab.listedGrants() && lab.counts()["grants"] == 600
            }
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
        }
    }
}
