import Testing

extension LabTests {
    @Suite("When the kernel doesn't do what it is asked")
    struct KernelAnswerTests {
        private static let full = "limits: {grants: 3, grants-per-client: 3, calls-per-second: 10000}"

        @Test(
            "a client beyond limits.grants is denied grants-full, the others stay, and a place that is freed is taken",
            .lab(.rpcbind, .daemon, settings: full, policy: Policies.echoes()))
        func limit() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            for source in ["10.78.0.1", "10.78.0.2", "10.78.0.3"] {
                #expect(try lab.lookUp(echo, options: "--from \(source)").result(of: echo.getPort) == .port(4001))
            }
            #expect(try lab.lookUp(echo, options: "--from 10.78.0.4").body == .authError(.failed))
            try await lab.event(.denied) { $0.client == "10.78.0.4" && $0.reason == "grants-full" }
            #expect(try lab.connect(echo, options: "--from 10.78.0.4 --wait 300") == "timeout")
            #expect(try lab.kernelGrants().count == 3)
            for source in ["10.78.0.1", "10.78.0.3"] {
                #expect(try lab.connect(echo, options: "--from \(source) --wait 500") == "connected")
                #expect(try lab.lookUp(echo, options: "--from \(source)").result(of: echo.getPort) == .port(4001))
            }

            #expect(try lab.rpcwarden("revoke", "--client", "10.78.0.2").isSuccess)
            #expect(try lab.lookUp(echo, options: "--from 10.78.0.4").result(of: echo.getPort) == .port(4001))
            #expect(try lab.connect(echo, options: "--from 10.78.0.4 --wait 500") == "connected")
            #expect(try lab.kernelGrants() == ["10.78.0.1 tcp/4001", "10.78.0.3 tcp/4001", "10.78.0.4 tcp/4001"])
        }

        @Test(
            "grants that have just expired take no place from those who ask now",
            .lab(
                .rpcbind, .daemon, settings: full + "\nfirewall: {keep: 1s, revive: 0}", policy: Policies.echoes()))
        func expired() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            for round in 1...3 {
                let output = try lab.peer(
                    .approved, lab.storm(echo, count: 3, from: "10.78.\(round).1", parallel: 1, connects: false))
                #expect(tally(output)["ok"] == 3, "round \(round): \(output)")
                // The kernel counts an expired element until its garbage collection, which runs about once a
                // second.
                try await eventually("all have expired") { try lab.events(.expired).count == 3 * round }
            }
            #expect(try lab.events(.denied).isEmpty)
        }

        @Test(
            "a set that somebody else has filled denies grants-full in the kernel's words, and never tells a shut port",
            .lab(
                .rpcbind, .daemon, settings: "limits: {grants: 100}\nfirewall: {own-table: false}",
                policy: Policies.echoes()))
        func filledFromOutside() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            let size = try lab.size(of: "granted4")
            // A change to the table is detected at the next tick: a lookup has to come earlier, and in most rounds
            // it does.
            for round in 1...20 where try lab.events(.denied).isEmpty {
                let room = size - (try lab.kernelGrants().count)
                let elements = (0..<room).map { "10.90.\($0 >> 8).\($0 & 255) . tcp . 9" }.joined(separator: ", ")
                let fill = try lab.ruleset(["add element inet rpcwarden granted4 { \(elements) }"], named: "fill.nft")
                let output = try lab.exec(
                    .approved, "sh", "-c",
                    "nsenter --net=/run/netns/\(lab.name)-server nft -f \(fill) && "
                        + "\(lab.peerBinary) \(lab.storm(echo, count: 3, from: "10.78.\(round).1", parallel: 1))")
                let counts = tally(output)
                #expect(counts["ok", default: 0] + counts["denied", default: 0] == 3, "\(output)")
                try await eventually("the table is as it was") {
                    try lab.events(.restored).count == round && lab.kernelGrants() == lab.listedGrants()
                }
            }
            let denied = try lab.events(.denied)
            #expect(!denied.isEmpty)
            #expect(denied.allSatisfy { $0.reason == "grants-full" && $0.detail == "the set is full (ENFILE)" })
            #expect(try lab.connect(echo) == "connected", "who had a grant has it still")
            let later = try lab.peer(.approved, lab.storm(echo, count: 30, from: "10.78.99.1"))
            #expect(tally(later)["ok"] == 30, "\(later)")
        }

        @Test(
            "a table that another process has taken denies firewall-failed in the kernel's words, until it is given up",
            .lab(.rpcbind, .daemon, settings: "firewall: {own-table: false}", policy: Policies.echoes()))
        func taken() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            try lab.spawnTaker(of: "table inet rpcwarden")
            try await lab.event(.tampered) { $0.detail?.contains("table deleted by nft") == true }

            for _ in 0..<5 {
                let answer = try lab.lookUp(echo, options: "--from 10.78.0.1")
                #expect(answer.body == .authError(.failed), "\(answer)")
            }
            let told = "Operation not permitted: table inet rpcwarden belongs to another process (netlink port "
            try await lab.event(.denied) {
                $0.client == "10.78.0.1" && $0.reason == "firewall-failed" && $0.detail?.hasPrefix(told) == true
            }
            #expect(try !lab.listing("status", as: StatusReport.self).table.intact)
            #expect(try lab.rpcwarden("grants").errors.contains("isn't rpcwarden's"))
            try await Task.sleep(for: .seconds(1))
            let lines = lab.log("daemon").split(separator: "\n").filter {
                $0.contains("refused a transaction: \(told)")
            }
            #expect(lines.count == 1, "said once, however often it is tried")

            // The table is deleted with the process that owns it.
            try lab.kill("taker", "KILL")
            try await lab.event(.restored)
            #expect(try lab.lookUp(echo, options: "--from 10.78.0.1").result(of: echo.getPort) == .port(4001))
            #expect(try lab.connect(echo, options: "--from 10.78.0.1 --wait 500") == "connected")
            #expect(try lab.connect(echo) == "connected", "the earlier grant is back")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            #expect(try lab.listing("status", as: StatusReport.self).table.intact)
        }

        @Test(
            "without CAP_NET_ADMIN it doesn't start, and says what is missing", .lab(.rpcbind))
        func withoutCapability() async throws {
            let lab = try Lab.current
            try await lab.serve(
                policy: Policies.echoes(),
                through: ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"],
                awaitsReadiness: false)
            try await eventually("it has given up") { try !lab.isRunning("daemon") }
            let text = lab.log("daemon")
            #expect(text.contains("Operation not permitted") && text.contains("CAP_NET_ADMIN"), "\(text)")
            #expect(text.split(separator: "\n").count == 1 && text.hasPrefix("rpcwarden: "), "\(text)")
        }
    }
}
