import Addresses
import Foundation
import Testing

extension LabTests {
    @Suite("At scale")
    struct ScaleTests {
        private static let settings = "limits: {calls-per-second: 10000}"

        @Test(
            "ten thousand clients that each resolve four services within seconds are all served, and no grant is lost",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()))
        func storm() async throws {
            let lab = try Lab.current
            let echoes = Echo.programs.enumerated().flatMap { index, program in
                [Transport.tcp, .udp].map { Echo(program: program, port: UInt16(4001 + index), transport: $0) }
            }
            for echo in echoes { try await lab.start(echo) }
            let started = ContinuousClock.now
            let outputs = try lab.peers(
                .approved,
                echoes.map { lab.storm($0, count: 10_000, from: "10.78.1.1", parallel: 16, connects: false) })
            let elapsed = ContinuousClock.now - started
            let counts = try lab.counts()
            let datagrams = try [Lab.Host.server, .approved].map {
                try lab.exec($0, "grep", "Udp:", "/proc/net/snmp").text
            }
            for output in outputs {
                #expect(tally(output)["ok"] == 10_000, "\(output) \(counts) \(datagrams) \(lab.log("daemon"))")
            }
            #expect(counts["granted"] == 40_000 && counts["grants"] == 40_000, "\(counts)")
            #expect(counts["commit_failures"] == 0 && counts["denied"] == 0)
            let commits = counts["commits", default: .max]
            #expect(commits <= 40_010)
            // The shell compares the lists: a debug build takes long for forty thousand lines.
            let compared = try lab.exec(
                .server, "bash", "-c",
                """
                cd \(lab.state)
                nft list set inet rpcwarden granted4 | grep -oE '10[.]78[.0-9]+ [.] (tcp|udp) [.] [0-9]+' |
                  sed 's/ [.] / /;s/ [.] /\\//' | sort >kernel.txt
                \(lab.binary) grants --json --config \(lab.configuration) | tr -d '",' |
                  awk '/ client :/{c=$3} / port :/{p=$3} / transport :/{print c " " $3 "/" p}' | sort >listed.txt
                cmp kernel.txt listed.txt && wc -l <kernel.txt
                """, seconds: 30)
            #expect(compared.text == "40000\n", "\(compared)")
            print("40,000 grants in \(elapsed), \(commits) commits;", outputs.map { $0.lines.first ?? "" })
        }

        @Test(
            "status, grants and top hold up no look-up, with sixty thousand grants in place",
            .lab(
                .rpcbind, .daemon, settings: "limits: {calls-per-second: 10000, grants: 90000}",
                policy: Policies.echoes()))
        func listings() async throws {
            let lab = try Lab.current
            let echoes = Echo.programs.enumerated().flatMap { index, program in
                [Transport.tcp, .udp].map { Echo(program: program, port: UInt16(4001 + index), transport: $0) }
            }
            for echo in echoes { try await lab.start(echo) }
            let grants = 60_000 / echoes.count
            for echo in echoes {
                let words = lab.storm(echo, count: grants, from: "10.78.1.1", parallel: 16, connects: false)
                #expect(tally(try lab.peer(.approved, words, seconds: 60))["ok"] == grants)
            }
            let quiet = try longestLookup(lab, "quiet")
            let commands = ["status --json", "grants --json", "top --once"].map {
                "\(lab.binary) \($0) --config \(lab.configuration)"
            }
            try lab.spawn(
                .server, "listing",
                [
                    "bash", "-c",
                    "while :; do \(commands.joined(separator: " && ")) && echo asked >&2; done >\(lab.state)/listed",
                ])
            try await eventually("the listings are asked for", within: .seconds(60)) {
                lab.log("listing").contains("asked")
            }
            let started = ContinuousClock.now
            var longest = Duration.zero
            while !lab.log("listing").contains("asked\nasked\nasked") {
                longest = max(longest, try longestLookup(lab, "listing"))
                try #require(ContinuousClock.now - started < .seconds(120), "\(lab.log("listing"))")
            }
            let round = (ContinuousClock.now - started) / 2
            try lab.kill("listing", "KILL")
            print("look-ups: \(quiet) at most, with listings \(longest); a round of listings takes \(round)")
            // A debug build on a loaded machine needs more than the 10 ms that `scripts/bench` sees. A listing that is
            // made in one piece holds up a look-up for as long as it takes.
            #expect(longest < max(.milliseconds(10), round / 10))
        }

        /// The longest of a hundred look-ups, one after the other.
        private func longestLookup(_ lab: Lab, _ what: String) throws -> Duration {
            let words =
                "storm --to 10.77.1.1 --over udp --count 100 --program \(Echo.programs[0]) --version 1 --service tcp"
                + " --wait 10000"
            let found = tally(try lab.peer(.approved, words, seconds: 60))
            #expect(found["ok"] == 100, "\(what): \(found)")
            return .microseconds(found["lookup-max-us"] ?? .max)
        }

        /// A policy with the approved client's own addresses and 10,000 others, which are not adjacent.
        private static func policy(others: Int?) -> String {
            let addresses = (0..<10_000).map { index in
                others.map { ", 172.\($0).\(index >> 7).\(index & 127 * 2)" } ?? ""
            }
            return """
                rules:
                  - name: always open
                    from: [10.77.1.0/24\(addresses.joined())]
                    to: [\(Echo.programs[0])]
                    open: always
                """
        }

        @Test(
            "a reload of ten thousand standing clients is one commit, in which nobody who stays loses a packet",
            .lab(.rpcbind, .daemon, settings: settings, policy: policy(others: nil)))
        func reload() async throws {
            let lab = try Lab.current
            try await lab.start(Echo())
            let connect = "\(lab.peerBinary) connect --to 10.77.1.1 --port 4001 --over tcp --wait 900"
            try lab.spawn(.approved, "connecting", ["sh", "-c", "while :; do \(connect); done"])
            try await eventually("the client connects") { lab.log("connecting").contains("connected") }
            for (others, count) in [(16, 10_001), (18, 10_001), (nil, 1)] {
                let before = try lab.counts()["commits", default: 0]
                try lab.configure(Self.settings, policy: Self.policy(others: others))
                let started = ContinuousClock.now
                let output = try lab.rpcwarden("reload")
                print("reload to \(count) standing:", ContinuousClock.now - started)
                #expect(output.isSuccess, "\(output)")
                #expect(try lab.counts()["commits"] == before + 1)
                #expect(try lab.elements(of: "standing4").count == count)
            }
            try lab.kill("connecting", "KILL")
            let outcomes = lab.log("connecting").split(separator: "\n")
            #expect(Set(outcomes) == ["connected"] && outcomes.count > 50, "\(Set(outcomes)) \(outcomes.count)")
        }
    }
}
