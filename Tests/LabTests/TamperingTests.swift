import Testing

extension LabTests {
    @Suite("Who changes the table from outside")
    struct TamperingTests {
        @Test(
            "is undone within a second, with every live grant, and logged",
            .lab(.rpcbind, .daemon, settings: "firewall: {own-table: false}", policy: Policies.echoes()),
            arguments: [
                "flush ruleset", "delete table inet rpcwarden", "flush set inet rpcwarden granted4",
                "delete element inet rpcwarden guarded { tcp . 4001 }", "flush chain inet rpcwarden guarded_port",
                "add element inet rpcwarden granted4 { 10.77.4.2 . tcp . 4001 }",
            ])
        func undone(change: String) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            let issued = try lab.grants().map(\.issued)
            #expect(try lab.nft(change).isSuccess)
            try await lab.event(.tampered, within: .seconds(1)) { $0.detail?.contains("nft") == true }
            try await lab.event(.restored, within: .seconds(1))
            #expect(try lab.elements(of: "guarded").contains("tcp . 4001"))
            #expect(try lab.grants().map(\.issued) == issued)
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
        }

        @Test(
            "can't, where the kernel lets the daemon own its table",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()),
            arguments: ["flush ruleset", "delete table inet rpcwarden"])
        func owned(change: String) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            _ = try lab.nft(change)
            #expect(try lab.elements(of: "guarded").contains("tcp . 4001"))
            #expect(try lab.grants().count == 1)
            #expect(try lab.events(.tampered).isEmpty)
        }
    }

    @Suite("An expired grant")
    struct RevivalTests {
        private static let settings = "firewall: {keep: 1500ms, revive: 1h}"

        @Test(
            "comes back with its client's own packet, within the client's own retransmissions",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()), arguments: [false, true])
        func revived(isDaemonRestarted: Bool) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            try await lab.event(.expired, within: .seconds(4))
            if isDaemonRestarted { try await lab.restartDaemon("KILL") }
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout", "never held it")
            #expect(try lab.grants().isEmpty)
            #expect(try lab.connect(echo, options: "--wait 3000") == "connected")
            let event = try await lab.event(.renewed)
            #expect(event.detail == "revived" && event.granted == "tcp/4001")
            try await lab.event(.probed) { $0.client == "10.77.4.2" }
        }

        @Test(
            "stays expired for a client that the policy no longer permits",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()))
        func notPermitted() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            try await lab.event(.expired, within: .seconds(4))
            try lab.configure(
                Self.settings, policy: "rules: [{name: other, from: [10.77.1.3], to: [mountd], list: true}]")
            #expect(try lab.rpcwarden("reload").isSuccess)
            #expect(try lab.connect(echo, options: "--wait 3000") == "timeout")
            #expect(try lab.grants().isEmpty)
        }
    }
}
