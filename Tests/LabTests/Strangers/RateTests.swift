import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite("Rates, a bucket for each source and transport")
    struct RateTests {
        private static let settings = "limits: {calls-per-second: 20}\nquarantine: false"
        /// Four times limits.calls-per-second, and the maximum of answers meanwhile.
        private static let burst = 80
        private static let answersMax = 140

        @Test(
            "over it a client hears nothing over UDP, and is closed on over TCP; nobody else notices, and the log tells it",
            .lab(.rpcbind, .daemon, settings: settings))
        func overUDP() async throws {
            let lab = try Lab.current
            let flood = try lab.peer(
                .approved, "call --to 10.77.1.1 --over udp --count 900 --all --show --wait 1000 v2 null")
            let calls = try Self.count("calls", lab)
            let denied = try Self.count("denied_rate", lab)
            let answers = Answer(flood).replies.count
            #expect((Self.burst...Self.answersMax).contains(answers))
            #expect(answers + denied == calls)
            #expect(denied > 300, "of 900 calls \(calls) arrived")

            // Calls over UDP with this client's address use up neither its TCP budget nor any other client's.
            let null = PortmapperCall.null(.v2)
            #expect(try lab.ask(.approved, null, over: .tcp).body == .success([]))
            #expect(try lab.ask(.approved, null, over: .udp, options: "--from 10.77.1.3").body == .success([]))
            #expect(try lab.ask(.server, null, to: "127.0.0.1", over: .udp).body == .success([]))

            // One connection, 300 records.
            let records = (0..<300).flatMap { record(null.encoded(xid: $0)) }
            let stream = try lab.peer(.approved, "stream --to 10.77.1.1 --wait 1000 --hex \(hex(records))")
            let bytes = stream.text.firstMatch(of: /closed after-ms=\d+ bytes=(\d+)/).flatMap { Int($0.1) }
            let replyBytes = 28
            #expect((1...Self.answersMax).contains(try #require(bytes, "\(stream)") / replyBytes))
            let rate = try await lab.event(.denied) { $0.reason == "rate" && $0.transport == "tcp" }
            #expect(rate.client == "10.77.1.2")

            // Denials above the log's rate are summed up, and the sum is exact.
            try await lab.event(.suppressed) { $0.detail == "denied" }
            let swallowed = try lab.events(.suppressed).filter { $0.detail == "denied" }.compactMap(\.count)
            let written = try lab.events(.denied).count { $0.reason == "rate" }
            #expect(try written + swallowed.reduce(0, +) == Self.count("denied_rate", lab))
            #expect(written <= 420)
        }

        @Test("each client that a rule names has its own bucket, IPv6 too", .lab(.rpcbind, .daemon, settings: settings))
        func neighbours() throws {
            let lab = try Lab.current
            let storm =
                "storm --over udp --count 200 --program 100000 --version 2 --service udp --wait 300 --parallel 20"
            for words in ["--to fd77:1::1 --sources fd78::1:1/200", "--to 10.77.1.1 --sources 10.78.0.1/200"] {
                let many = try lab.peer(.approved, "\(storm) \(words)", seconds: 30)
                #expect(many.text.contains("ok=200"), "\(many)")
            }
        }

        @Test(
            "datagrams forged in a client's name leave it its connections",
            .lab(.rpcbind, .daemon, settings: settings, policy: Policies.echoes()))
        func forged() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            let call = hex(echo.getPort.encoded(xid: 77))
            #expect(try lab.exec(.stranger, "ip", "route", "add", "local", "10.78.0.9", "dev", "lo").isSuccess)
            // The stranger sends with the approved client's address, continuously.
            let forge = "\(lab.peerBinary) call --to 10.77.4.1 --over udp --from 10.78.0.9 --count 400 --hex \(call)"
            try lab.spawn(.stranger, "forger", ["sh", "-c", "while :; do \(forge) --wait 1; done"])
            try await lab.event(.denied) { $0.reason == "rate" && $0.client == "10.78.0.9" && $0.transport == "udp" }
            for _ in 0..<5 {
                let answer = try lab.ask(.approved, echo.getPort, over: .tcp, options: "--from 10.78.0.9")
                #expect(answer.result(of: echo.getPort) == .port(4001), "\(answer)")
            }
            #expect(try lab.connect(echo, options: "--from 10.78.0.9 --wait 500") == "connected")
        }

        private static func count(_ name: String, _ lab: Lab) throws -> Int {
            try lab.listing("status", as: StatusReport.self).counts[name] ?? 0
        }
    }
}
