import Addresses
import Portmapper
import Testing

extension LabTests {
    @Suite("When rpcbind is down")
    struct RpcbindOutageTests {
        @Test(
            "lookups are denied, both ends of the outage are audited once, and the daemon needs no restart",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func outage() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            #expect(try lab.events(.rpcbindUp).count == 1)
            try lab.control("rpcbind", "stop")
            try await lab.event(.rpcbindDown)
            for transport in [Transport.udp, .tcp] {
                let answer = try lab.ask(.approved, echo.getPort, over: transport)
                #expect(answer.body == .authError(.failed), "\(answer)")
                let rpcb = RPCB(
                    program: Program(echo.program), version: 1, netID: "\(transport)", address: "", owner: "")
                #expect(try lab.ask(.approved, .getAddress(.v4, rpcb), over: transport).body == .authError(.failed))
                try await lab.event(.denied) { $0.reason == "rpcbind-down" && $0.transport == "\(transport)" }
            }
            #expect(try lab.ask(.approved, .dump(.v2), over: .tcp).body == .authError(.failed))
            #expect(try lab.ask(.approved, .null(.v2), over: .udp).body == .success([]), "we are there ourselves")
            #expect(try !lab.listing("status", as: StatusReport.self).rpcbind.reachable)
            #expect(try lab.elements(of: "guarded").contains("tcp . 4001"), "the guard stays")
            #expect(try lab.connect(echo) == "timeout")

            // rpcbind keeps registrations over a restart (-w).
            try lab.control("rpcbind", "start")
            try await eventually("lookups are answered again") {
                try lab.lookUp(echo).result(of: echo.getPort) == .port(4001)
            }
            #expect(try lab.connect(echo) == "connected")
            try await eventually("rpcbind-up is audited") { try lab.events(.rpcbindUp).count == 2 }
            #expect(try lab.events(.rpcbindDown).count == 1)
            #expect(try lab.events(.started).count == 1)
        }

        @Test("grants that were issued stay while it is down", .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func grantsStay() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            try lab.control("rpcbind", "stop")
            try await lab.event(.rpcbindDown)
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.events(.revoked).isEmpty)
        }

        @Test("a daemon that starts before rpcbind guards at once, and is ready when rpcbind answers", .lab())
        func startsBeforeRpcbind() async throws {
            let lab = try Lab.current
            try await lab.serve(
                "firewall: {guard-ports: [tcp/4001]}", policy: Policies.echoes(), awaitsReadiness: false)
            try await eventually("the table is in place") { try lab.nft("list table inet rpcwarden").isSuccess }
            #expect(try lab.elements(of: "guarded") == ["tcp . 4001"])
            try await lab.event(.rpcbindDown)
            #expect(try lab.events(.started).isEmpty)
            #expect(try lab.ask(.approved, .null(.v2), over: .udp).body == .success([]))
            try lab.control("rpcbind", "start")
            try await lab.event(.started)
            try await lab.start(Echo())
            try lab.lookUp(Echo())
            #expect(try lab.connect(Echo()) == "connected")
        }

        @Test(
            "an rpcbind that hangs is an rpcbind that is down: the lookup is denied in time",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func hangs() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.kill("rpcbind", "STOP")
            let answer = try lab.ask(.approved, echo.getPort, over: .tcp, options: "--wait 3000")
            #expect(answer.body == .authError(.failed), "\(answer)")
            try await lab.event(.denied) { $0.reason == "rpcbind-down" }
            try lab.kill("rpcbind", "CONT")
            try await eventually("lookups are answered again") {
                try lab.lookUp(echo).result(of: echo.getPort) == .port(4001)
            }
        }
    }
}
