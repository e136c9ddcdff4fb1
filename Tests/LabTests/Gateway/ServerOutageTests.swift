import Addresses
import Portmapper
import Testing

extension LabTests {
    @Suite("A server that is dead or hangs")
    struct ServerOutageTests {
        /// The filer, and two servers that nobody answers for: the one address is unused, the other without a route.
        private static let three = """
            gateway:
              servers:
                - {name: unused, address: 10.77.5.77, rpcbind: {refresh: 1s}}
                - {name: filer1, address: [10.77.5.2, "fd77:5::2"], rpcbind: {refresh: 1s}}
                - {name: unreachable, address: 192.0.2.1, rpcbind: {refresh: 1s}}
            limits: {calls-per-second: 10000}
            """

        private static let atAll = Policies.echoes().replacingOccurrences(
            of: "    to:", with: "    at: [any-server]\n    to:")

        /// This host and the filer.
        private static let both = """
            \(Policies.filerEchoes())
              - name: approved clients use the echoes of this host
                from: [approved]
                to: [\(Echo.programs.map(String.init).joined(separator: ", "))]
            """

        /// Two hundred lookups, each answered within a client's patience.
        private func expectLookups(_ lab: Lab, _ echo: Echo) throws {
            for over in [Transport.udp, .tcp] {
                let output = try lab.peer(
                    .approved,
                    "storm --to \(echo.server) --over \(over) --count 200 --program \(echo.program) --version 1"
                        + " --service tcp --parallel 4 --connect --sources 10.78.1.1/200 --wait 2000", seconds: 60)
                #expect(output.text.contains("ok=200 "), "\(echo.name) over \(over): \(output)")
            }
        }

        /// Lookups without end at a server that doesn't answer them.
        private func spawnLookups(_ lab: Lab, at server: String) async throws {
            let storm =
                "\(lab.peerBinary) storm --to \(server) --over udp --count 100000 --program \(Echo.programs[0])"
                + " --version 1 --service tcp --parallel 8 --sources 10.78.8.1/500 --wait 300"
            try lab.spawn(.approved, "lookups-\(server)", ["sh", "-c", "while :; do \(storm); done"])
        }

        @Test(
            "that is dead costs nobody else's lookups anything, nor readiness, and is served when it is back",
            .gateway(.filerRpcbind, .daemon, settings: three, policy: atAll))
        func dead() async throws {
            let lab = try Lab.current
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            for server in ["unused", "unreachable"] {
                try await lab.event(.rpcbindDown) { $0.server == server }
            }
            for server in ["10.77.5.77", "192.0.2.1"] { try await spawnLookups(lab, at: server) }
            try await lab.event(.denied) { $0.server == "unused" && $0.reason == "rpcbind-down" }
            try await lab.event(.denied) { $0.server == "unreachable" && $0.reason == "rpcbind-down" }
            try expectLookups(lab, echo)
            for server in ["10.77.5.77", "192.0.2.1"] { try lab.kill("lookups-\(server)") }
            // No rule is about this host, whose own rpcbind nobody misses.
            #expect(try lab.listing("status", as: StatusReport.self).rpcbind.needed == false)
            #expect(try !lab.rpcwarden("status").text.contains("WRONG: rpcbind"))

            #expect(try lab.exec(.filer, "ip", "address", "add", "10.77.5.77/24", "dev", "eth0").isSuccess)
            try await lab.event(.rpcbindUp, within: .seconds(30)) { $0.server == "unused" }
            try await eventually("lookups at it are answered") {
                try lab.lookUp(echo, to: "10.77.5.77").result(of: echo.getPort) == .port(4001)
            }
            #expect(try lab.connect(echo, to: "10.77.5.77") == "connected")
        }

        @Test(
            "whose portmapper hangs costs neither this host's lookups anything nor another server's, and is denied in time",
            .lab(
                .filer, .filerRpcbind, .rpcbind, .daemon,
                settings: Filer.settings() + "\nlimits: {calls-per-second: 10000}", policy: both))
        func hung() async throws {
            let lab = try Lab.current
            let (here, there) = (Echo(), Echo(host: .filer))
            try await lab.start(here)
            try await lab.start(there)
            try lab.lookUp(there)
            try lab.kill("filer-rpcbind", "STOP")
            try await spawnLookups(lab, at: "10.77.5.2")
            let answer = try lab.ask(
                .approved, there.getPort, to: "10.77.5.2", over: .tcp, options: "--from 10.77.1.3 --wait 3000")
            #expect(answer.body == .authError(.failed), "\(answer)")
            try await lab.event(.denied) { $0.reason == "rpcbind-down" && $0.server == "filer1" }
            try await lab.event(.rpcbindDown) { $0.server == "filer1" }
            try expectLookups(lab, here)
            #expect(try lab.connect(there) == "connected", "the guard and the grants stay")
            #expect(try lab.connect(there, from: .stranger) == "timeout")
            #expect(try lab.events(.revoked).isEmpty)
            try lab.kill("lookups-10.77.5.2")
            try lab.kill("filer-rpcbind", "CONT")
            try await eventually("lookups are answered again") {
                try lab.lookUp(there).result(of: there.getPort) == .port(4001)
            }
        }

        @Test(
            "is no reason to wait: serve is ready without it, and serves it once it is reached",
            .lab(.filer, .filerRpcbind, policy: Policies.filerEchoes()))
        func downAtStart() async throws {
            let lab = try Lab.current
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            let cut = "table inet cut { chain in { type filter hook input priority 0; policy drop; }; }"
            try lab.write(cut, to: "cut.nft")
            #expect(try lab.exec(.filer, "nft", "-f", "\(lab.state)/cut.nft").isSuccess)
            try await lab.serve(Filer.settings(), policy: Policies.filerEchoes())
            let answer = try lab.lookUp(echo, options: "--wait 2000")
            #expect(answer.body == .authError(.failed), "\(answer)")
            #expect(try lab.connect(echo, from: .stranger) == "timeout")
            #expect(try lab.exec(.filer, "nft", "delete", "table", "inet", "cut").isSuccess)
            try await lab.event(.rpcbindUp, within: .seconds(30)) { $0.server == "filer1" }
            try await eventually("lookups are answered") {
                try lab.lookUp(echo).result(of: echo.getPort) == .port(4001)
            }
            #expect(try lab.connect(echo) == "connected")
        }

        @Test(
            "whose rpcbind comes back empty keeps its guard and its clients, and a new lookup is told what is there",
            .gateway(.filerRpcbind, .daemon, policy: Policies.filerEchoes()))
        func forgetful() async throws {
            let lab = try Lab.current
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            try lab.lookUp(echo)
            try lab.kill("filer-rpcbind", "KILL")
            try lab.control("filer", "rpcbind", "start")
            try lab.register(echo, as: "unset")
            let answer = try await eventually("it is no longer told") {
                let answer = try lab.lookUp(echo, options: "--from 10.77.1.3")
                return answer.result(of: echo.getPort) == .port(0) ? answer : nil
            }
            #expect(answer.result(of: echo.getPort) == .port(0))
            #expect(try lab.isGuarded(echo))
            #expect(try lab.connect(echo) == "connected", "it still answers there")
            #expect(try lab.connect(echo, from: .stranger) == "timeout")
            #expect(try lab.events(.revoked).isEmpty)
        }
    }
}
