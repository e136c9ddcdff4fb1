import Testing

extension LabTests {
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
            try await lab.event(.expired)
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
            try await lab.event(.expired)
            try lab.configure(
                Self.settings, policy: "rules: [{name: other, from: [10.77.1.3], to: [mountd], list: true}]")
            #expect(try lab.rpcwarden("reload").isSuccess)
            #expect(try lab.connect(echo, options: "--wait 3000") == "timeout")
            #expect(try lab.grants().isEmpty)
        }
    }
}
