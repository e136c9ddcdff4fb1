import Foundation
import PolicyFile
import Testing

@testable import HostPosture
@testable import HostSurvey

extension FakeHostTests {
    @Suite("setup --gateway on fake hosts") struct SetupGatewayTests {
        private static let dropIn = String(SetupFiles.gatewayDropIn.dropFirst())
        private static let guardDropIn = String(SetupFiles.guardDropIn.dropFirst())
        private static let units = SetupFiles.units.joined(separator: " ")

        /// A host without rpcbind, with the socket unit that is shipped.
        private func host() throws -> FakeHost {
            let host = try FakeHost.stock()
            for unit in ["rpcbind.socket", "rpcbind.service"] {
                try FileManager.default.removeItem(atPath: "\(host.root)/lib/systemd/system/\(unit)")
                for state in ["enablement", "activity"] {
                    try FileManager.default.removeItem(atPath: "\(host.state)/\(unit).\(state)")
                }
            }
            try FileManager.default.removeItem(atPath: "\(host.root)/proc/77")
            try host.listen(at: [])
            try host.write("/lib/systemd/system/rpcwarden.socket", try Self.shipped())
            try host.write("/proc/sys/net/ipv4/ip_forward", "1\n")
            try host.stub("systemd-sysusers", "echo 'rpcwarden:x:999:999::/:' >>\(host.root)/etc/passwd\n")
            try host.stub("userdel", "echo 'root:x:0:0::/:/bin/sh' >\(host.root)/etc/passwd\n")
            try host.stub("nft", "")
            return host
        }

        private static func shipped() throws -> String {
            let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
                "../../../systemd/rpcwarden.socket")
            return try String(contentsOf: file, encoding: .utf8)
        }

        /// A substitute for ip(8), in whose kernel a rule and a route are missing, and a rule is another program's.
        private static let routing = """
            case "$*" in
            "-N -d -4 rule show")
                echo "111: from all fwmark 0x20000/0x20000 lookup 111 proto 2"
                echo "500: from all fwmark 0x100/0x100 lookup 7 proto 3" ;;
            "-d -4 route show table 111") echo "local 10.91.2.2 dev lo proto kernel scope host" ;;
            "-d -6 route show table 112") echo "local default dev lo proto kernel" ;;
            esac

            """

        private func survey(_ host: FakeHost, isConfigured: Bool = true, isRunning: Bool = true) -> HostSurvey {
            var survey = host.survey(isRunning: isRunning)
            if isConfigured { survey.expected.gateway = GatewayTests.expected }
            return survey
        }

        private func carryOut(_ plan: SetupPlan, on host: FakeHost, isRunning: Bool = true) throws {
            #expect(plan.obstacles == [])
            let survey = host.survey(isRunning: isRunning)
            var runner = SetupRunner(survey, survey.setupFacts())
            for case .act(let action, let entries) in plan.steps {
                #expect(try runner.carryOut(action, recording: entries) == nil)
            }
        }

        private func setUp(_ host: FakeHost, isConfigured: Bool = true) throws {
            try carryOut(SetupPlan.setupGateway(survey(host, isConfigured: isConfigured).setupFacts()), on: host)
        }

        private func notes(_ plan: SetupPlan) -> String {
            plan.steps.compactMap { if case .note(let text) = $0 { text } else { nil } }.joined(separator: "\n")
        }

        @Test("without a configuration it writes an example, and starts nothing; again, it changes nothing")
        func example() throws {
            let host = try host()
            let plan = SetupPlan.setupGateway(survey(host, isConfigured: false).setupFacts())
            #expect(notes(plan).contains("rpcwarden.yaml names no server, so rpcwarden is not started"))
            try carryOut(plan, on: host)
            let tree = host.tree()
            #expect(tree["etc/rpcwarden/rpcwarden.yaml"] == SetupFiles.gatewayConfigurationText)
            #expect(tree["etc/rpcwarden/policy.d/start.yaml"] == SetupFiles.gatewayPolicyText)
            #expect(tree[Self.dropIn] == SetupFiles.gatewayDropInText(listens: false))
            #expect(tree[Self.guardDropIn] == SetupFiles.guardDropInText)
            #expect(
                host.changes == [
                    "systemd-sysusers --inline u rpcwarden - \"RPC access proxy\" /", "systemctl daemon-reload",
                ])
            #expect(SetupPlan.setupGateway(survey(host, isConfigured: false).setupFacts()).actions == [])
        }

        @Test(
            "with servers in the configuration it starts rpcwarden, touches no rpcbind, and a second one changes nothing"
        )
        func starts() throws {
            let host = try host()
            try setUp(host)
            #expect(host.changes.last == "systemctl enable --now \(Self.units)")
            #expect(!host.changes.contains { $0.contains("rpcbind") })
            #expect(!host.tree().keys.contains { $0.contains("rpcbind.socket.d") || $0.contains("rpcbind.service.d") })
            let again = SetupPlan.setupGateway(survey(host).setupFacts())
            #expect(again.actions == [] && again.obstacles == [])
        }

        @Test("sockets that are there already are made anew")
        func hostMode() throws {
            let host = try host()
            for unit in SetupFiles.units { try host.set(unit, "enabled", "active") }
            try setUp(host)
            #expect(
                host.changes.suffix(2) == [
                    "systemctl daemon-reload", "systemctl restart rpcwarden.socket rpcwarden.service",
                ])
            // The file is there, and systemd hasn't read it.
            try host.put("\(host.state)/transparent", "no")
            let plan = SetupPlan.setupGateway(survey(host).setupFacts())
            #expect(
                plan.actions == [
                    .run(["systemctl", "daemon-reload"]),
                    .run(["systemctl", "restart", "rpcwarden.socket", "rpcwarden.service"]),
                ])
        }

        @Test("an edited drop-in of the guard's unit is kept, and a lost one is written without a restart")
        func guardDropIn() throws {
            let host = try host()
            try setUp(host)
            for unit in SetupFiles.units { try host.set(unit, "enabled", "active") }
            try host.write(SetupFiles.guardDropIn, "[Service]\n")
            #expect(SetupPlan.setupGateway(survey(host).setupFacts()).actions == [])
            try FileManager.default.removeItem(atPath: host.root + SetupFiles.guardDropIn)
            #expect(
                SetupPlan.setupGateway(survey(host).setupFacts()).actions == [
                    .writeFile(host.root + SetupFiles.guardDropIn, text: SetupFiles.guardDropInText),
                    .run(["systemctl", "daemon-reload"]),
                ])
        }

        @Test("a unit with other sockets gets those at every address; one that is transparent gets no file")
        func listens() throws {
            let host = try host()
            let site = "/etc/systemd/system/rpcwarden.socket.d/10-site.conf"
            try host.write(site, "[Socket]\nListenStream=\nListenStream=10.0.0.1:111\nListenDatagram=10.0.0.1:111\n")
            try setUp(host)
            #expect(host.tree()[Self.dropIn] == SetupFiles.gatewayDropInText(listens: true))
            let unit = survey(host).setupFacts().wardenSocketUnit
            #expect(unit.isTransparent && unit.listens == SocketUnit.everywhere)
            #expect(SetupPlan.setupGateway(survey(host).setupFacts()).actions == [])

            let other = try self.host()
            try other.write(site, "[Socket]\nTransparent=yes\n")
            try setUp(other)
            #expect(other.tree()[Self.dropIn] == nil)
        }

        @Test("what stands in the way is said")
        func obstacles() throws {
            let host = try host()
            func obstacles() -> String {
                let plan = SetupPlan.setupGateway(survey(host).setupFacts())
                return plan.obstacles.joined(separator: "\n")
            }
            let later = "/etc/systemd/system/rpcwarden.socket.d/site.conf"
            try host.write(later, "[Socket]\nListenStream=10.0.0.1:111\n")
            #expect(
                obstacles().contains("rpcwarden.socket gets ports from drop-ins") && obstacles().contains("site.conf"))
            try FileManager.default.removeItem(atPath: host.root + later)
            try host.write(SetupFiles.gatewayDropIn, "[Socket]\nTransparent=no\n")
            #expect(
                obstacles().contains("was not written by setup, and with it rpcwarden.socket lacks Transparent=yes"))
            try host.write(SetupFiles.gatewayDropIn, SetupFiles.gatewayDropInText(listens: false))
            try host.write(later, "[Socket]\nTransparent=no\n")
            #expect(obstacles().contains("another drop-in of rpcwarden.socket overrides"))
            try FileManager.default.removeItem(atPath: host.root + later)

            try host.write("/lib/systemd/system/rpcbind.socket", FakeHost.socketUnit)
            try host.set("rpcbind.socket", "enabled", "inactive")
            #expect(obstacles().contains("rpcbind has port 111 of this host (tcp 0.0.0.0:111)"))
            try host.set("rpcbind.socket", "disabled", "inactive")
            #expect(SetupPlan.setupGateway(survey(host).setupFacts()).obstacles == [])
            try FileManager.default.removeItem(atPath: host.root + "/lib/systemd/system/rpcwarden.socket")
            #expect(obstacles().contains("rpcwarden.socket is not installed"))
            try FileManager.default.removeItem(atPath: host.root + "/run/systemd")
            #expect(obstacles().contains("no systemd. By hand:"))
        }

        @Test(
            "undo takes back what was done, and with it guard, rules and routes; sockets that were there before are made anew"
        )
        func undo() throws {
            let host = try host()
            let before = host.tree()
            try setUp(host)
            let done = host.changes.count
            try host.stub("nft", "printf 'table inet rpcwarden {\\n}\\n'\n")
            try host.stub("ip", Self.routing)
            try carryOut(SetupPlan.undo(survey(host).setupFacts()), on: host)
            #expect(
                Array(host.changes.dropFirst(done)) == [
                    "systemctl stop \(Self.units)", "systemctl disable \(Self.units)",
                    "rpcwarden guard unload",
                    "ip rule del pref 111 fwmark 0x20000/0x20000 lookup 111",
                    "ip route flush table 111 proto kernel", "ip -6 route flush table 112 proto kernel",
                    "userdel rpcwarden", "systemctl daemon-reload",
                ])
            #expect(before.allSatisfy { host.tree()[$0.key] == $0.value } && host.tree()[Self.dropIn] == nil)
            #expect(SetupPlan.undo(survey(host).setupFacts()).actions == [])

            let other = try self.host()
            for unit in SetupFiles.units { try other.set(unit, "enabled", "active") }
            try setUp(other)
            try carryOut(SetupPlan.undo(survey(other).setupFacts()), on: other)
            #expect(
                other.changes.suffix(2)
                    == ["systemctl daemon-reload", "systemctl restart rpcwarden.socket rpcwarden.service"])
        }

        @Test("forwarding is told of, and not switched on")
        func forwarding() throws {
            let host = try host()
            #expect(!notes(SetupPlan.setupGateway(survey(host).setupFacts())).contains("forwards"))
            try host.write("/proc/sys/net/ipv4/ip_forward", "0\n")
            let plan = SetupPlan.setupGateway(survey(host).setupFacts())
            #expect(notes(plan).contains("this host forwards no IPv4 packets") && !"\(plan.actions)".contains("sysctl"))
        }

        @Test("an image gets its files and links, and nothing is started")
        func image() throws {
            let host = try host()
            try host.write("/lib/systemd/systemd", "")
            let plan = SetupPlan.setupGateway(survey(host, isRunning: false).setupFacts())
            try carryOut(plan, on: host, isRunning: false)
            let root = "--root=\(host.root)"
            #expect(
                host.changes == [
                    "systemd-sysusers \(root) --inline u rpcwarden - \"RPC access proxy\" /",
                    "systemctl \(root) enable \(Self.units)",
                ])
            #expect(host.tree()[Self.dropIn] != nil)
            #expect(SetupPlan.setupGateway(survey(host, isRunning: false).setupFacts()).actions == [])
        }

        @Test("the example is a configuration without a gateway, and a sound one of a gateway without its marks")
        func texts() throws {
            let host = try FakeHost()
            let path = host.root + SetupFiles.configuration
            try host.write(SetupFiles.policy, SetupFiles.gatewayPolicyText)
            try host.write(SetupFiles.configuration, SetupFiles.gatewayConfigurationText)
            let example = PolicyLoader().load(configurationPath: path)
            #expect(!example.hasErrors && example.settings.gateway == nil && example.settings.mode == .observe)

            try host.write(
                SetupFiles.configuration,
                SetupFiles.gatewayConfigurationText.replacing("\n#gateway", with: "\ngateway").replacing(
                    "\n#  ", with: "\n  "))
            let rules = SetupFiles.gatewayPolicyText.split(separator: "\n").filter { $0.hasPrefix("#   ") }
                .map { $0.dropFirst(4) }.joined(separator: "\n")
            try host.write(SetupFiles.policy, rules)
            let gateway = PolicyLoader().load(configurationPath: path)
            #expect(!gateway.hasErrors, "\(gateway.diagnostics.map(\.description))")
            #expect(gateway.settings.gateway?.servers.map(\.name) == ["filer1"])
            #expect(gateway.rules.count == 2 && gateway.rules.allSatisfy { $0.at == .servers(["filer1"]) })
        }
    }
}
