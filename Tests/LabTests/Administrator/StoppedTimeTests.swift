import Foundation
import Testing

extension LabTests {
    @Suite("A daemon that was stopped longer than a grant lives")
    struct StoppedTimeTests {
        private static let settings =
            "firewall: {keep: 2s, revive: 0}\nlimits: {calls-per-second: 10000}"

        /// Whether the grants in the ledger, in the listing and in the kernel agree.
        private static func agree(_ lab: Lab) throws -> Bool {
            let kernel = try lab.kernelGrants()
            return try lab.listedGrants() == kernel && lab.counts()["grants"] == kernel.count
        }

        @Test(
            "finds what the kernel has let expire and what it has renewed, and serves whoever asks",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()))
        func stopped() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            let (idle, busy) = ("10.77.1.2", "10.77.1.3")
            for source in [idle, busy] { try lab.lookUp(echo, options: "--from \(source)") }
            try lab.spawnPeer(
                .approved, "busy",
                "connect --to 10.77.1.1 --port 4001 --over tcp --from \(busy) --send ping --repeat 1000 --every 200")
            try await eventually("it flows") { lab.log("busy").contains("received") }
            try lab.kill("daemon", "STOP")
            try await eventually("the kernel has let one expire") {
                try lab.kernelGrants() == ["\(busy) tcp/4001"]
            }
            // In total twice a grant's lifetime.
            try await Task.sleep(for: .seconds(2))
            #expect(try lab.kernelGrants() == ["\(busy) tcp/4001"], "renewed by its packets")
            #expect(try lab.connect(echo, options: "--from \(idle) --wait 300") == "timeout")

            try lab.kill("daemon", "CONT")
            try await lab.event(.expired) { $0.client == idle }
            try await eventually("ledger and kernel agree") { try Self.agree(lab) }
            #expect(try lab.events(.expired).map(\.client) == [idle])
            #expect(try lab.listedGrants() == ["\(busy) tcp/4001"])

            let answer = try lab.lookUp(echo, options: "--from \(idle)")
            #expect(answer.result(of: echo.getPort) == .port(4001), "\(answer)")
            #expect(try lab.connect(echo, options: "--from \(idle) --wait 500") == "connected")
            #expect(!lab.log("busy").contains("silence") && !lab.log("busy").contains("closed"))
        }

        @Test(
            "answers every call that was queued meanwhile, with the port open, though the client held it before",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()))
        func queuedCalls() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            var output = try lab.peer(.approved, lab.storm(echo, count: 150, from: "10.78.1.1", connects: false))
            #expect(tally(output)["ok"] == 150, "\(output)")
            try lab.kill("daemon", "STOP")
            try await eventually("all have expired") { try lab.kernelGrants().isEmpty }
            try lab.spawn(
                .approved, "storm",
                ["sh", "-c", "\(lab.peerBinary) \(lab.storm(echo, count: 150, from: "10.78.1.1", parallel: 150))"])
            try await Task.sleep(for: .milliseconds(500))
            #expect(lab.log("storm").isEmpty, "they wait")
            try lab.kill("daemon", "CONT")
            try await eventually("all are answered") { !lab.log("storm").isEmpty }
            output = Output(text: lab.log("storm"), errors: "", status: 0)
            #expect(tally(output)["ok"] == 150, "\(output)")
            try await eventually("ledger and kernel agree") { try Self.agree(lab) }
            try await eventually("all have expired again") {
                try lab.kernelGrants().isEmpty && Self.agree(lab)
            }
        }

        /// The reply on the control socket.
        private struct GrantsReply: Decodable { var grants: [GrantRow] }

        @Test(
            "grants lists no grant that the kernel doesn't hold, also in the moment after another program has deleted it",
            .lab(.rpcbind, .daemon, settings: "firewall: {own-table: false}", policy: Policies.echoes()))
        func kernelsTruth() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            let before = try lab.listedGrants()
            let change =
                "delete element inet rpcwarden granted4 { 10.77.1.2 . tcp . 4001 };"
                + " add element inet rpcwarden granted4 { 10.77.1.99 . udp . 9 timeout 1h }"
            // The daemon undoes the change soon, so the question follows at once, on a connection that is there before.
            let asking = """
                use IO::Socket::UNIX;
                my $daemon = IO::Socket::UNIX->new(Peer => "/run/rpcwarden/control.sock") or die "$!";
                system("nft", $ARGV[0]) == 0 or die "nft failed";
                print {$daemon} '{"command":"grants"}', "\\n";
                $daemon->flush;
                print while <$daemon>;
                """
            var listings: [Set<String>] = []
            for _ in 0..<20 where !listings.contains([]) {
                let output = try lab.exec(.server, "perl", "-e", asking, change)
                #expect(output.isSuccess, "\(output)")
                let reply = try JSONDecoder().decode(GrantsReply.self, from: Data(output.text.utf8))
                listings.append(Set(reply.grants.map { "\($0.client) \($0.service)" }))
                try await eventually("it is undone") { try lab.kernelGrants() == before }
            }
            #expect(listings.last == [])
            #expect(listings.dropLast().allSatisfy { $0 == before }, "\(listings)")
            #expect(try lab.listedGrants() == before)
        }
    }
}
