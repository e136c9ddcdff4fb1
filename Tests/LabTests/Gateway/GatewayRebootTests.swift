import Addresses
import Portmapper
import Testing

extension LabTests {
    @Suite("A gateway that boots while its server is down")
    struct GatewayRebootTests {
        @Test(
            "closes the server's ports before anybody forwards, and opens by the last registry once it runs",
            .gateway(
                .filerRpcbind, .daemon, settings: Filer.settings() + "\nfirewall: {own-table: false}",
                policy: Policies.filerEchoes(open: "always")))
        func reboot() async throws {
            let lab = try Lab.current
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            #expect(try lab.connect(echo) == "connected")
            try lab.kill("daemon")
            try lab.kill("filer-rpcbind")
            try forgetNetwork(lab)
            #expect(try lab.connect(echo, from: .stranger) == "connected", "nothing guards any more")

            #expect(try lab.rpcwarden("guard", "load").isSuccess)
            for host in [Lab.Host.approved, .stranger] { #expect(try lab.connect(echo, from: host) == "timeout") }
            for over in [Transport.udp, .tcp] {
                let answer = try lab.ask(.approved, .null(.v2), to: "10.77.5.2", over: over, options: "--wait 300")
                #expect(answer.replies.isEmpty, "\(answer)")
            }

            try await lab.restartDaemon()
            #expect(try lab.rpcwarden("status").text.contains("its last registry is in force"))
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.connect(echo, from: .stranger) == "timeout")
        }

        /// What a boot leaves of table, rules and routes: nothing.
        private func forgetNetwork(_ lab: Lab) throws {
            #expect(try lab.nft("delete table inet rpcwarden").isSuccess)
            for family in ["-4", "-6"] {
                for number in ["111", "112"] {
                    #expect(try lab.exec(.server, "ip", family, "rule", "del", "pref", number).isSuccess)
                    #expect(try lab.exec(.server, "ip", family, "route", "flush", "table", number).isSuccess)
                }
            }
        }

        @Test(
            "with guard: all closes every port but those of `pass`, and the server's own questions are answered",
            .gateway(
                .filerRpcbind, .daemon, settings: Filer.settings("guard: all\n      pass: [tcp/4002]"),
                policy: Policies.filerEchoes()))
        func guardAll() async throws {
            let lab = try Lab.current
            let (passed, closed) = (Echo(port: 4002, host: .filer), Echo(port: 4003, host: .filer))
            for echo in [passed, closed] { try await lab.start(echo, isRegistered: false) }
            #expect(try lab.connect(passed, from: .stranger) == "connected")
            for host in [Lab.Host.approved, .stranger] { #expect(try lab.connect(closed, from: host) == "timeout") }
            try lab.spawnPeer(.approved, "name-server", "listen --at 0.0.0.0 --port 5353 --over udp --echo")
            try await eventually("it listens") { lab.log("name-server").contains("listening") }
            let asked = try lab.peer(.filer, "connect --to 10.77.1.2 --port 5353 --over udp --send ping --wait 2000")
            #expect(asked.text.contains("reply"), "\(asked)")
        }
    }
}
