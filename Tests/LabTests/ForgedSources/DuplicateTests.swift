import Foundation
import ONCRPC
import Testing

extension LabTests {
    @Suite("Retransmissions over UDP")
    struct DuplicateTests {
        private static let echo = Echo(port: 4002, transport: .udp)
        private static let lookups = ["v2 getport \(echo.program) 1 udp", "v4 getaddr \(echo.program) 1 udp"]

        @Test(
            "five datagrams alike, while rpcbind is slow, cost one question and get one answer",
            .lab(.rpcbind))
        func fiveTimes() async throws {
            let lab = try Lab.current
            try await Self.serve(lab)
            for (round, lookup) in Self.lookups.enumerated() {
                let before = (try Self.duplicates(lab), Self.upstream(lab))
                try lab.kill("rpcbind", "STOP")
                try lab.spawnPeer(
                    .approved, "asker-\(round)",
                    "call --to 10.77.1.1 --over udp --repeat 5 --all --show --wait 2500 \(lookup)")
                try await eventually("all five have arrived") { try Self.duplicates(lab) == before.0 + 4 }
                try await Task.sleep(for: .milliseconds(300))
                #expect(!lab.log("asker-\(round)").contains("reply"))
                try lab.kill("rpcbind", "CONT")
                try await eventually("the asker is done") { try !lab.isRunning("asker-\(round)") }
                let answers = lab.log("asker-\(round)").split(separator: "\n").filter { $0.hasPrefix("reply ") }
                #expect(answers.count == 1)
                #expect(answers.allSatisfy { $0.contains("4002") || $0.contains(".15.162") }, "\(answers)")
                #expect(try Self.duplicates(lab) == before.0 + 4)
                #expect(Self.upstream(lab) == before.1 + 1)
            }
        }

        @Test("what was answered may be asked again", .lab(.rpcbind))
        func afterTheAnswer() async throws {
            let lab = try Lab.current
            try await Self.serve(lab)
            let before = Self.upstream(lab)
            let words = "call --to 10.77.1.1 --over udp --source-port 700 --xid 4711 \(Self.lookups[1])"
            for round in 1...3 {
                #expect(try lab.peer(.approved, words).text.contains("reply from"))
                #expect(Self.upstream(lab) == before + round)
            }
            #expect(try Self.duplicates(lab) == 0)
        }

        private static func duplicates(_ lab: Lab) throws -> Int {
            try lab.listing("status", as: StatusReport.self).counts["duplicates"] ?? -1
        }

        private static let relay = Lab.path("scripts/lab.d/count-calls.pl")

        /// Starts the daemon with a relay in front of rpcbind that counts the calls.
        private static func serve(_ lab: Lab) async throws {
            let socket = "\(lab.state)/relay.sock"
            try lab.spawn(.server, "relay", ["perl", relay, socket])
            try await eventually("the relay listens") { FileManager.default.fileExists(atPath: socket) }
            try await lab.serve("rpcbind: {timeout: 5s, socket: \(socket)}", policy: Policies.echoes())
            try await lab.start(echo)
        }

        /// Lookups that reached rpcbind: GETPORT of version 2, whichever procedure the client calls.
        private static func upstream(_ lab: Lab) -> Int {
            lab.log("relay").split(separator: "\n").filter { $0 == "2 3" }.count
        }
    }
}
