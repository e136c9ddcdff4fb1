import Foundation
import ONCRPC
import Testing

extension LabTests {
    @Suite("When rpcbind forgets, or can't be read")
    struct OrphanTests {
        /// The outcomes of a stranger's connects to each of these ports.
        private static func strangers(_ lab: Lab, at ports: [UInt16]) throws -> [String] {
            try ports.map {
                try lab.peer(.stranger, "connect --to 10.77.4.1 --port \($0) --over tcp --wait 300").lines.first ?? ""
            }
        }

        @Test(
            "rpcbind is killed and comes back empty: nothing opens, mounts go on, and it is told",
            .lab(.rpcbind, .ganesha, .daemon))
        func forgets() async throws {
            let lab = try Lab.current
            let services: [(UInt32, UInt32)] = [(100_003, 3), (100_005, 3), (100_021, 4)]
            let ports = try services.map { try lab.port(of: $0.0, $0.1, "tcp") }
            #expect(try lab.exec(.approved, "nfs-ls", "nfs://10.77.1.1/export").isSuccess)
            let (granted, guarded) = (Set(try lab.grants().map(\.service)), Set(try lab.elements(of: "guarded")))
            try lab.kill("rpcbind", "KILL")
            try await lab.event(.rpcbindDown)
            try lab.control("rpcbind", "start")
            try await lab.event(.orphaned) { $0.program == 100_003 }
            #expect(try lab.registeredServices().allSatisfy { $0[0] == "100000" }, "it has forgotten all")
            #expect(Set(try lab.elements(of: "guarded")) == guarded)
            #expect(Set(try lab.grants().map(\.service)) == granted)
            #expect(try Self.strangers(lab, at: ports) == ["timeout", "timeout", "timeout"])
            #expect(try lab.exec(.approved, "nfs-ls", "nfs://10.77.1.1/export?version=4").isSuccess, "open: always")
            let mountd = try lab.peer(.approved, "connect --to 10.77.1.1 --port \(ports[1]) --over tcp --wait 500")
            #expect(mountd.lines == ["connected"], "its grant stays")
            let rows = try lab.registry().filter(\.orphaned)
            #expect(Set(rows.map(\.program)).isSuperset(of: [100_003, 100_005, 100_021]))
            #expect(rows.allSatisfy { $0.alive && $0.guarded && $0.trusted })
            #expect(try lab.events(.revoked).isEmpty)

            // A daemon that starts now does not open a port either.
            try await lab.restartDaemon("KILL")
            #expect(try Self.strangers(lab, at: ports) == ["timeout", "timeout", "timeout"])
            #expect(Set(try lab.grants().map(\.service)) == granted)

            // A guarded port stays closed until its socket is gone; then no port is left to guard.
            try lab.control("ganesha", "stop")
            try await eventually("the guard ends with the sockets") { try lab.elements(of: "guarded").isEmpty }
            #expect(try lab.grants().isEmpty)
        }

        @Test(
            "a service that unregisters before it closes stays shut to strangers until it has closed",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func unregistersFirst() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            try lab.register(echo, as: "unset")
            try await lab.event(.orphaned) { $0.program == echo.program }
            #expect(try Self.strangers(lab, at: [4001]) == ["timeout"])
            #expect(try lab.connect(echo) == "connected")
            try lab.kill(echo.name)
            try await lab.event(.revoked) { $0.granted == "tcp/4001" }
            try await eventually("its port is nobody's any more") { try lab.elements(of: "guarded").isEmpty }
            #expect(try Self.strangers(lab, at: [4001]) == ["refused"])
        }

        @Test(
            "a dead service's port that another user takes is told to nobody, and opens to nobody",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func squatter() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.kill(echo.name)
            try lab.spawn(
                .server, "squatter",
                Lab.asNobody + [
                    lab.peerBinary, "listen", "--at", "0.0.0.0", "--port", "4001", "--over", "tcp", "--echo",
                ])
            try await eventually("the squatter listens") { lab.log("squatter").contains("listening") }
            #expect(try lab.lookUp(echo).body == .authError(.failed))
            try await lab.event(.denied) { $0.reason == "untrusted-owner" && $0.detail?.contains("uid 65534") == true }
            #expect(try lab.grants().isEmpty)
            #expect(try lab.connect(echo) == "timeout", "the guard stays while the mapping does")
        }

        @Test(
            "local users who register without end, with addresses of any length, blind nobody",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func blinding() async throws {
            let lab = try Lab.current
            let first = Echo()
            try await lab.start(first)
            // 36 items of 8200 bytes exceeded 32 fragments, and 0.1.0 could no longer read the registry. The
            // second case has more registrations than any honest registry.
            for words in ["--count 40 --address-bytes 8200 --program 536879104", "--count 6000 --program 536883200"] {
                let output = try lab.exec(
                    .server,
                    Lab.asNobody + [lab.peerBinary, "register", "--unix", "/run/rpcbind.sock"]
                        + words.split(separator: " ").map(String.init), seconds: 60)
                #expect(output.isSuccess, "\(output)")
            }
            try await lab.event(.untrustedRegistration)
            #expect(try lab.lookUp(first).result(of: first.getPort) == .port(4001))
            // A new service of root is guarded and reported, although it is listed behind all others.
            let second = Echo(program: Echo.programs[1], port: 4002)
            try await lab.start(second)
            #expect(try lab.lookUp(second).result(of: second.getPort) == .port(4002))
            #expect(try lab.connect(second) == "connected")
            #expect(try Self.strangers(lab, at: [4001, 4002]) == ["timeout", "timeout"])
            try await lab.restartDaemon()
            #expect(try lab.lookUp(second).result(of: second.getPort) == .port(4002))
            #expect(try lab.events(.rpcbindDown).isEmpty)
        }
    }
}
