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
