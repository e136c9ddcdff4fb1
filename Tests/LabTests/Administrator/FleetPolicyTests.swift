import Foundation
import Testing

extension LabTests {
    /// A signed policy as a file, as whoever distributes files by other means has it.
    @Suite("A fleet's policy") struct FleetPolicyTests {
        private static let echo = Echo()

        private static func rules(from clients: String) -> String {
            "rules:\n  - {name: fleets, from: [\(clients)], to: [\(Echo.programs[0])]}\n"
        }

        /// A publisher's keys, and the node's ceiling.
        private static func prepare(_ lab: Lab) throws {
            try FileManager.default.createDirectory(
                atPath: "\(lab.state)/nfs", withIntermediateDirectories: false)
            let keys = try lab.exec(
                .server, "minisign", "-G", "-W", "-p", "\(lab.state)/k.pub", "-s", "\(lab.state)/k.sec")
            #expect(keys.isSuccess, "\(keys)")
            try lab.write(
                "rules:\n  - {name: most, from: [10.77.0.0/16], to: [\(Echo.programs[0])]}\n", to: "ceiling.yaml")
        }

        /// Signs a policy, and puts the bundle where the daemon reads it.
        private static func publish(
            _ lab: Lab, _ rules: String, serial: Int, options: String = "", change: (String) -> String = { $0 }
        ) throws {
            try rules.write(toFile: "\(lab.state)/nfs/a.yaml", atomically: true, encoding: .utf8)
            let command =
                "\(lab.binary) policy sign \(lab.state)/nfs --key \(lab.state)/k.sec --serial \(serial) \(options)"
            let output = try lab.exec(.server, "sh", "-c", command)
            #expect(output.isSuccess, "\(output)")
            try lab.write(change(output.text), to: "nfs.bundle")
        }

        private static func settings(_ lab: Lab, more: String = "") -> String {
            "fleet: {policy: {group: nfs, bundle: \(lab.state)/nfs.bundle, keys: k.pub, ceiling: ceiling.yaml, mode: replace\(more)}}"
        }

        private static func serve(_ lab: Lab, more: String = "", and other: String = "") async throws {
            // The policy of this host would permit everything, and is not read.
            try await lab.serve(
                settings(lab, more: more) + "\n" + other,
                policy: "rules: [{name: a, from: [0.0.0.0/0], to: [1-99999999]}]")
        }

        @Test(
            "decides, and a bad one is refused whole: the old one stays in force, in both processes, after a restart too",
            .lab(.rpcbind))
        func refused() async throws {
            let lab = try Lab.current
            try Self.prepare(lab)
            try Self.publish(lab, Self.rules(from: "10.77.1.2"), serial: 42)
            try await Self.serve(lab)
            try await lab.start(Self.echo)
            try lab.lookUp(Self.echo)
            #expect(try lab.connect(Self.echo) == "connected")
            try await lab.event(.policyAccepted) { $0.detail?.contains("serial 42") == true }
            let explained = try lab.rpcwarden("explain", "--client", "10.77.1.2", "--program", "\(Echo.programs[0])")
            #expect(explained.isSuccess && explained.text.contains("nfs.bundle:a.yaml:2 \"fleets\""), "\(explained)")
            #expect(try lab.grants().first?.rule == "nfs.bundle:a.yaml:2 \"fleets\"")

            let other = Self.rules(from: "10.77.1.3")
            let bad: [(String, () throws -> Void)] = [
                (
                    "was changed after key",
                    { try Self.publish(lab, other, serial: 43) { $0.replacing("1.3", with: "1.4") } }
                ),
                ("was changed after key", { try Self.publish(lab, other, serial: 43) { String($0.dropLast(9)) } }),
                ("is older than 42", { try Self.publish(lab, other, serial: 41) }),
                ("other contents", { try Self.publish(lab, other, serial: 42) }),
                ("exceeds the ceiling", { try Self.publish(lab, Self.rules(from: "10.0.0.0/8"), serial: 43) }),
                ("group \"canary\"", { try Self.publish(lab, other, serial: 43, options: "--group canary") }),
            ]
            for (why, publish) in bad {
                try publish()
                let output = try lab.rpcwarden("reload")
                #expect(output.status == 2 && output.errors.contains(why), "\(why): \(output)")
                try await lab.event(.policyRefused) { $0.detail?.contains(why) == true }
                #expect(try lab.rpcwarden("check").status == 2, "\(why)")
                let verified = try lab.exec(
                    .server, lab.binary, "policy", "verify", "\(lab.state)/nfs.bundle", "--config", lab.configuration)
                #expect(verified.status == 1 && verified.errors.contains(why), "\(verified)")
            }
            #expect(try lab.connect(Self.echo) == "connected" && lab.events(.revoked).isEmpty)
            #expect(try lab.listing("status", as: StatusReport.self).fleet?.serial == 42)

            try lab.kill("daemon")
            try await eventually("it has ended") { try !lab.isRunning("daemon") }
            try Self.publish(lab, other, serial: 41)
            try lab.spawn(.server, "daemon", [lab.binary, "serve", "--config", lab.configuration])
            try await eventually("it refuses to start") { try !lab.isRunning("daemon") }
            #expect(lab.log("daemon").contains("serial 41 is older than 42"), "\(lab.log("daemon"))")
            #expect(try lab.connect(Self.echo, from: .stranger, to: "10.77.4.1") == "timeout", "the guard stays")

            try Self.publish(lab, other, serial: 43)
            try await Self.serve(lab)
            try await lab.event(.policyAccepted) { $0.detail?.contains("serial 43") == true }
            #expect(try lab.lookUp(Self.echo, options: "--from 10.77.1.3").result(of: Self.echo.getPort) == .port(4001))
            #expect(try lab.lookUp(Self.echo).result(of: Self.echo.getPort) != .port(4001))
        }

        @Test(
            "a fetched one that this host refuses, or that is gone, doesn't stop a start: the last one that was accepted is kept",
            .lab(.rpcbind))
        func kept() async throws {
            let lab = try Lab.current
            try Self.prepare(lab)
            let fetched = "/var/lib/rpcwarden-fleet/nfs.bundle"
            func fetch() throws {
                let output = try lab.exec(.server, "cp", "\(lab.state)/nfs.bundle", fetched)
                #expect(output.isSuccess, "\(output)")
            }
            try Self.publish(lab, Self.rules(from: "10.77.1.2"), serial: 42)
            try fetch()
            try await lab.serve(
                "fleet: {policy: {group: nfs, keys: k.pub, ceiling: ceiling.yaml, mode: replace}}",
                policy: "rules: [{name: a, from: [0.0.0.0/0], to: [1-99999999]}]")
            try await lab.start(Self.echo)
            try lab.lookUp(Self.echo)
            #expect(try lab.connect(Self.echo) == "connected")

            try Self.publish(lab, Self.rules(from: "0.0.0.0/0"), serial: 43)
            try fetch()
            // It holds up no change of this host's own policy.
            let reload = try lab.rpcwarden("reload")
            #expect(reload.isSuccess && reload.text.contains("the accepted one stays"), "\(reload)")
            try await lab.event(.policyRefused) { $0.detail?.contains("exceeds the ceiling") == true }
            try await lab.restartDaemon()
            try await lab.event(.policyRefused) { $0.detail?.contains("exceeds the ceiling") == true }
            #expect(lab.log("daemon").contains("serial 42, accepted before, stays"), "\(lab.log("daemon"))")
            #expect(try lab.connect(Self.echo) == "connected")
            #expect(try lab.listing("status", as: StatusReport.self).fleet?.serial == 42)
            // Both processes: a client without a grant gets one.
            #expect(try lab.lookUp(Self.echo).result(of: Self.echo.getPort) == .port(4001))
            #expect(try lab.lookUp(Self.echo, options: "--from 10.77.1.3").result(of: Self.echo.getPort) != .port(4001))

            #expect(try lab.exec(.server, "rm", fetched).isSuccess)
            try await lab.restartDaemon("KILL")
            #expect(try lab.listing("status", as: StatusReport.self).fleet?.serial == 42)
            try Self.publish(lab, Self.rules(from: "10.77.1.3"), serial: 44)
            try fetch()
            let output = try lab.rpcwarden("reload")
            #expect(output.isSuccess, "\(output)")
            #expect(try lab.lookUp(Self.echo, options: "--from 10.77.1.3").result(of: Self.echo.getPort) == .port(4001))
        }

        @Test("a reload takes the next one over, and says what changed", .lab(.rpcbind))
        func next() async throws {
            let lab = try Lab.current
            try Self.prepare(lab)
            try Self.publish(lab, Self.rules(from: "10.77.1.2"), serial: 1, options: "--not-after 2100-01-01")
            try await Self.serve(lab, and: "metrics: 127.0.0.1:9811")
            try await lab.start(Self.echo)
            try lab.lookUp(Self.echo)
            try Self.publish(lab, Self.rules(from: "10.77.1.3"), serial: 2)
            let output = try lab.rpcwarden("reload")
            #expect(output.isSuccess && output.text.contains("rule changed: nfs.bundle:a.yaml:2"), "\(output)")
            try await lab.event(.policyAccepted) { $0.detail?.contains("serial 2") == true }
            try await lab.event(.revoked) { $0.client == "10.77.1.2" }
            #expect(try lab.listing("status", as: StatusReport.self).fleet?.serial == 2)
            let metrics = try lab.exec(.server, "curl", "-s", "http://127.0.0.1:9811/metrics").text
            #expect(metrics.contains("rpcwarden_fleet_policy_serial{group=\"nfs\"} 2\n"), "\(metrics)")
            #expect(!metrics.contains("rpcwarden_fleet_policy_not_after_seconds "), "it is right for good")
        }

        @Test("one that has expired permits no look-up where the settings say so, and closes nothing", .lab(.rpcbind))
        func expired() async throws {
            let lab = try Lab.current
            try Self.prepare(lab)
            let rules = Self.rules(from: "10.77.1.2, 10.77.1.3")
            try Self.publish(lab, rules, serial: 1, options: "--not-after 2100-01-01")
            try await Self.serve(lab, more: ", expire: deny")
            try await lab.start(Self.echo)
            try lab.lookUp(Self.echo)
            let end = Date().addingTimeInterval(2).ISO8601Format()
            try Self.publish(lab, rules, serial: 2, options: "--not-after \(end)")
            let output = try lab.rpcwarden("reload")
            #expect(output.isSuccess, "\(output)")
            try await lab.event(.policyExpired, within: .seconds(30)) { $0.detail?.contains("serial 2") == true }
            try await eventually("no new look-up") {
                try lab.lookUp(Self.echo, options: "--from 10.77.1.3").result(of: Self.echo.getPort) != .port(4001)
            }
            #expect(try lab.listing("status", as: StatusReport.self).fleet?.expired == true)
            let program = "\(Echo.programs[0])"
            #expect(try lab.rpcwarden("explain", "--client", "10.77.1.2", "--program", program).status == 1)
            #expect(try lab.connect(Self.echo) == "connected" && lab.events(.revoked).isEmpty)
        }
    }
}
