import Foundation
import Testing

extension LabTests {
    @Suite("A grant that lives for three seconds")
    struct ExpiryTests {
        private static let settings = "firewall: {keep: 3s, revive: 0}"

        @Test(
            "expires: a new connection is dropped, and the end is audited",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()))
        func expires() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            #expect(try lab.connect(echo) == "timeout", "shut before the lookup")
            try lab.lookUp(echo)
            #expect(try lab.connect(echo) == "connected")
            let grant = try #require(try lab.grants().first)
            try await lab.event(.expired) {
                $0.client == "10.77.1.2" && $0.granted == "tcp/4001" && $0.program == echo.program
            }
            #expect(try lab.grants().isEmpty)
            #expect(try lab.connect(echo) == "timeout")
            #expect(try lab.events(.expired).count == 1)

            // A new lookup makes a new grant.
            try lab.lookUp(echo)
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.grants().first?.issued != grant.issued)
        }

        @Test(
            "asked for over UDP lives for two minutes until its first packet, with which the kernel keeps it for `keep`",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func askedOverUDP() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            func secondsLeft() throws -> Double {
                let grant = try #require(try lab.grants().first)
                let end = try #require(ISO8601DateFormatter().date(from: grant.expires))
                return end.timeIntervalSinceNow
            }
            try lab.lookUp(echo)
            #expect(try (100...121).contains(secondsLeft()))
            #expect(try lab.connect(echo) == "connected")
            #expect(try (86_000...86_401).contains(secondsLeft()))
            // A lookup over UDP does not shorten the lifetime.
            try lab.lookUp(echo)
            #expect(try (86_000...86_401).contains(secondsLeft()))
            #expect(try lab.events(.renewed).isEmpty)
        }

        @Test(
            "is renewed by traffic, by the kernel itself, though the daemon is dead",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()), arguments: [true, false])
        func renewedByTraffic(isDaemonAlive: Bool) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            if !isDaemonAlive { try lab.kill("daemon", "KILL") }
            // 16 rounds of 0.6 s: more than three times `keep`.
            let output = try lab.peer(
                .approved,
                "connect --to 10.77.1.1 --port 4001 --over tcp --send ping --repeat 16 --every 600 --wait 10000")
            #expect(output.lines == ["connected"] + Array(repeating: "received bytes=4", count: 16), "\(output)")
            #expect(try lab.connect(echo) == "connected", "the grant opens new connections still")
            #expect(try lab.events(.expired).isEmpty)
            if isDaemonAlive { #expect(try lab.grants().map(\.service) == ["tcp/4001"]) }
        }

        @Test(
            "is renewed by a second lookup, with the kernel's time-out",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()))
        func renewedByLookup() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            for _ in 0..<5 {
                try lab.lookUp(echo)
                try await Task.sleep(for: .milliseconds(900))
                #expect(try lab.grants().map(\.service) == ["tcp/4001"], "renewed before it expired")
            }
            #expect(try lab.events(.expired).isEmpty)
            #expect(try !lab.events(.renewed).isEmpty)
            let issued = Set(try lab.events(.granted).map(\.ts))
            #expect(issued.count == 1, "one grant, renewed")
        }

        @Test(
            "cuts no flow that was admitted when it expires",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()))
        func flowOutlivesGrant() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            // The client is silent for 6 s, in which the grant expires; then it sends again.
            try lab.spawnPeer(
                .approved, "flow",
                "connect --to 10.77.1.1 --port 4001 --over tcp --send ping --repeat 2 --every 6000 --wait 10000")
            try await lab.event(.expired)
            #expect(try lab.connect(echo) == "timeout", "a new connection is not let in")
            try await eventually("the flow goes on") {
                lab.log("flow") == "connected\nreceived bytes=4\nreceived bytes=4\n"
            }
            #expect(try lab.connect(echo) == "timeout", "traffic of an admitted flow doesn't bring the grant back")
        }
    }
}
