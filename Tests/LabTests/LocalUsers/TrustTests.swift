import Addresses
import Portmapper
import Testing

extension LabTests {
    @Suite("Registrations that deserve no trust")
    struct TrustTests {
        /// Registers a program as uid 65534, over loopback with rpcbind itself; any user may register.
        private static func registerAsNobody(_ lab: Lab, _ program: UInt32, port: UInt16) throws {
            let uaddr = UniversalAddress(host: .v4(0), port: port)
            let output = try lab.exec(
                .server, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", lab.peerBinary, "call",
                "--unix", "/run/rpcbind.sock", "v4", "set", "\(program)", "1", "tcp", "\(uaddr)", "x")
            try #require(output.text.contains("true"), "\(output)")
        }

        @Test(
            "by an unprivileged user: neither guarded nor granted, and logged",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()), arguments: [4010, 22, 5432] as [UInt16])
        func untrusted(port: UInt16) async throws {
            let lab = try Lab.current
            let echo = Echo(port: port)
            try await lab.start(echo, isRegistered: false)
            try Self.registerAsNobody(lab, echo.program, port: port)
            try await lab.event(.untrustedRegistration) {
                $0.program == echo.program && $0.detail?.contains("tcp/\(port)") == true
            }
            for transport in [Transport.udp, .tcp] {
                let answer = try lab.ask(.approved, echo.getPort, over: transport)
                #expect(answer.body == .authError(.failed), "\(answer)")
            }
            try await lab.event(.denied) { $0.reason == "untrusted-owner" && $0.program == echo.program }
            #expect(try !lab.elements(of: "guarded").contains("tcp . \(port)"))
            #expect(try lab.grants().isEmpty)
            #expect(try lab.connect(echo) == "connected", "a hostile SET must not close a port")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "connected")
            let row = try #require(try lab.registry().first { $0.program == echo.program })
            #expect(!row.trusted && !row.guarded && row.alive && row.owner != "superuser", "\(row)")
            let dump = try lab.ask(.approved, .dump(.v2), over: .tcp)
            #expect(!"\(dump)".contains("\(echo.program)/"), "nobody is shown it: \(dump)")
            // The registry has been read several times meanwhile.
            try await Task.sleep(for: .seconds(1.2))
            #expect(try lab.events(.untrustedRegistration).count == 1, "logged once")
        }

        @Test(
            "at the port of a trusted service: gains nothing of its grants, and closes nothing",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func existingPort() async throws {
            let lab = try Lab.current
            let trusted = Echo()
            try await lab.start(trusted)
            let hostile = Echo(program: Echo.programs[1], port: trusted.port)
            try Self.registerAsNobody(lab, hostile.program, port: hostile.port)
            try await lab.event(.untrustedRegistration) { $0.program == hostile.program }
            #expect(try lab.lookUp(hostile).body == .authError(.failed))
            #expect(try lab.grants().isEmpty)
            #expect(try lab.connect(trusted) == "timeout", "no grant, no way in")
            #expect(try lab.lookUp(trusted).result(of: trusted.getPort) == .port(UInt32(trusted.port)))
            #expect(try lab.connect(trusted) == "connected")
            #expect(try lab.grants().map(\.program) == [trusted.program])
        }

        @Test(
            "at port 111: the portmapper goes on for those who may, and tells nobody of it",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func portmapperPort() async throws {
            let lab = try Lab.current
            let hostile = Echo(port: 111)
            try Self.registerAsNobody(lab, hostile.program, port: 111)
            try await lab.event(.untrustedRegistration) { $0.program == hostile.program }
            for transport in [Transport.udp, .tcp] {
                #expect(try lab.ask(.approved, hostile.getPort, over: transport).body == .authError(.failed))
                #expect(try lab.ask(.approved, .null(.v2), over: transport).body == .success([]))
            }
            #expect(try lab.grants().isEmpty && !lab.elements(of: "guarded").contains("tcp . 111"))
        }

        @Test(
            "by root at port 22: a port on the never list is neither guarded nor granted",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func neverPort() async throws {
            let lab = try Lab.current
            let echo = Echo(port: 22)
            try await lab.start(echo, isRegistered: false)
            try lab.register(echo)
            try await eventually("the registration is seen") {
                try lab.registry().contains { $0.program == echo.program }
            }
            #expect(try lab.lookUp(echo).body == .authError(.failed))
            try await lab.event(.denied) { $0.reason == "never-port" }
            #expect(try !lab.elements(of: "guarded").contains("tcp . 22"))
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "connected")
        }

        @Test(
            "of a version beside a trusted one: the trusted one answers",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func hostileVersion() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            // An unprivileged user adds version 2 of the program at a chosen port.
            let hostile = Echo(port: 4010)
            try await lab.start(hostile, isRegistered: false)
            let output = try lab.exec(
                .server, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", lab.peerBinary, "call",
                "--unix", "/run/rpcbind.sock", "v4", "set", "\(echo.program)", "2", "tcp",
                "0.0.0.0.15.170", "x")
            try #require(output.text.contains("true"), "\(output)")
            let call = PortmapperCall.getPort(
                Mapping(program: Program(echo.program), version: 2, protocolNumber: 6, port: 0))
            let answer = try lab.ask(.approved, call, over: .udp)
            #expect(answer.result(of: call) == .port(4001), "the other one hides nothing: \(answer)")
            #expect(try lab.grants().map(\.port) == [4001])
            #expect(try lab.connect(hostile, from: .stranger, to: "10.77.4.1") == "connected", "and closes nothing")
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(4001))
        }

        @Test("whose service was killed: not told, not granted, and logged as stale", .lab(.rpcbind, .ganesha, .daemon))
        func stale() async throws {
            let lab = try Lab.current
            let mapping = Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 0)
            let mountd = try lab.port(of: 100_005, 3, "tcp")
            try lab.kill("ganesha", "KILL")
            try await lab.event(.staleRegistration) {
                $0.program == 100_005 && $0.detail?.contains("tcp/\(mountd)") == true
            }
            #expect(try lab.ask(.approved, .getPort(mapping), over: .udp).body == .authError(.failed))
            try await lab.event(.denied) { $0.reason == "not-listening" && $0.program == 100_005 }
            #expect(try lab.grants().isEmpty)
            let rows = try lab.registry().filter { $0.program == 100_005 }
            #expect(!rows.isEmpty && rows.allSatisfy { !$0.alive })

            // mountd comes back at other ports.
            try lab.control("ganesha", "start")
            let moved = try lab.port(of: 100_005, 3, "tcp")
            let answer = try lab.ask(.approved, .getPort(mapping), over: .udp)
            #expect(answer.result(of: .getPort(mapping)) == .port(UInt32(moved)), "\(answer)")
            let connected = try lab.peer(.approved, "connect --to 10.77.1.1 --port \(moved) --over tcp")
            #expect(connected.lines == ["connected"])
        }
    }
}
