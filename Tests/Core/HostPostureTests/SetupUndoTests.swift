import Foundation
import Portmapper
import Testing

@testable import HostPosture
@testable import HostSurvey

extension FakeHostTests {
    @Suite("setup --undo that fails, or finds what setup didn't do") struct SetupUndoTests {
        private func host() throws -> FakeHost {
            let host = try FakeHost.stock()
            try host.stub("systemd-sysusers", "echo 'rpcwarden:x:999:999::/:' >>\(host.root)/etc/passwd\n")
            try host.stub("userdel", "echo 'root:x:0:0::/:/bin/sh' >\(host.root)/etc/passwd\n")
            try host.serve([.service(100_003, 3)])
            return host
        }

        private func carryOut(_ host: FakeHost, _ plan: (SetupFacts) -> SetupPlan) throws {
            let survey = host.survey()
            let facts = survey.setupFacts()
            let plan = plan(facts)
            #expect(plan.obstacles == [])
            var runner = SetupRunner(survey, facts)
            for case .act(let action, let entries) in plan.steps {
                _ = try runner.carryOut(action, recording: entries)
            }
        }

        private func notes(_ plan: SetupPlan) -> String {
            plan.steps.compactMap { if case .note(let text) = $0 { text } else { nil } }.joined(separator: "\n")
        }

        @Test("is carried on by the next one: rpcbind gets its network, the guard goes, then the record")
        func failedRestart() throws {
            let host = try host()
            try carryOut(host) { SetupPlan.setup($0) }
            try host.put("\(host.state)/fails.restart", "")
            #expect(throws: SetupRunner.Failure.self) { try carryOut(host) { SetupPlan.undo($0) } }
            #expect(host.tree()["etc/systemd/system/rpcbind.socket.d/rpcwarden.conf"] == nil)
            #expect(host.tree()["var/lib/rpcwarden/setup"] != nil)

            try FileManager.default.removeItem(atPath: "\(host.state)/fails.restart")
            let before = host.changes.count
            try host.put("\(host.state)/fails.unload", "")
            #expect(throws: SetupRunner.Failure.self) { try carryOut(host) { SetupPlan.undo($0) } }
            let second = host.changes.dropFirst(before)
            #expect(second.contains("systemctl restart rpcbind.socket") && second.last == "rpcwarden guard unload")
            #expect(host.survey().facts().rpcbindNetwork == .ofHost)

            try FileManager.default.removeItem(atPath: "\(host.state)/fails.unload")
            let third = host.changes.count
            try carryOut(host) { SetupPlan.undo($0) }
            #expect(!host.changes.dropFirst(third).contains("systemctl restart rpcbind.socket"), "it has its network")
            #expect(host.changes.suffix(2) == ["rpcwarden guard unload", "userdel rpcwarden"])
            #expect(host.tree()["var/lib/rpcwarden/setup"] == nil)
        }

        @Test("takes the guard out of the kernel also where others took rpcbind's network, and where there is no nft")
        func dropInsOfOthers() throws {
            let host = try host()
            let texts = [
                ("socket", SetupFiles.socketDropInText([SetupFiles.rpcbindSocket])),
                ("service", SetupFiles.serviceDropInText),
            ]
            for (unit, text) in texts { try host.write("/etc/systemd/system/rpcbind.\(unit).d/site.conf", text) }
            try host.listen(at: [])
            try FileManager.default.createSymbolicLink(
                atPath: "\(host.root)/proc/77/ns/net", withDestinationPath: "net:[2]")
            try carryOut(host) { SetupPlan.setup($0) }
            let plan = SetupPlan.undo(host.survey().setupFacts())
            #expect(plan.actions.contains(.run(["rpcwarden", "guard", "unload"])))
            #expect(notes(plan).contains("rpcbind has no network by files that setup didn't write"))
            try carryOut(host) { SetupPlan.undo($0) }
            #expect(!host.changes.contains("systemctl restart rpcbind.socket"))
        }

        @Test("moves a drop-in that was edited out of systemd's sight, and says so; it replaces nothing")
        func editedDropIn() throws {
            let host = try host()
            try carryOut(host) { SetupPlan.setup($0) }
            let edited = SetupFiles.serviceDropInText + "Nice=5\n"
            try host.write(SetupFiles.serviceDropIn, edited)
            let plan = SetupPlan.undo(host.survey().setupFacts())
            #expect(notes(plan).contains("was edited since setup, and is kept as"))
            try host.write(SetupFiles.serviceDropIn + ".edited", "earlier\n")
            try carryOut(host) { SetupPlan.undo($0) }
            let (name, tree) = (String(SetupFiles.serviceDropIn.dropFirst()), host.tree())
            #expect(tree[name] == nil && tree[name + ".edited"] == "earlier\n" && tree[name + ".edited-2"] == edited)
            #expect(host.changes.contains("systemctl restart rpcbind.socket"))
        }

        @Test("says that routing rules can't be read, rather than leave them")
        func routing() throws {
            let host = try host()
            try carryOut(host) { SetupPlan.setup($0) }
            var facts = host.survey().setupFacts()
            facts.host.expected.gateway = GatewayTests.expected
            facts.host.gateway = GatewayFacts()
            #expect(SetupPlan.undo(facts).obstacles.first?.contains("the routing rules can't be read") == true)
        }
    }
}
