import Foundation
import Testing

extension LabTests {
    @Suite("With sockets that outlive the daemon, as rpcwarden.socket's do")
    struct HeldSocketTests {
        private static let holder = Lab.path("scripts/lab.d/socket-unit.pl")
        private static let restarts = 4

        private static func daemon(_ lab: Lab) throws -> Int32 {
            let holder = try lab.pid("daemon")
            let children = try String(contentsOfFile: "/proc/\(holder)/task/\(holder)/children", encoding: .utf8)
            return try #require(Int32(children.trimmingCharacters(in: .whitespaces)), "children: \(children)")
        }

        private struct Stream {
            var echo: Echo
            var name: String { echo.netID.rawValue }
            var server: String { echo.isIPv4 ? "10.77.1.1" : "fd77:1::1" }
        }

        private static let streams = [
            Echo(port: 4001, transport: .udp), Echo(port: 4002, transport: .tcp),
            Echo(port: 4003, transport: .udp, isIPv4: false), Echo(port: 4004, transport: .tcp, isIPv4: false),
        ].map(Stream.init)

        /// Calls continuously, each call from its own socket, until the file `enough` exists.
        private static func ask(_ lab: Lab, _ stream: Stream) throws {
            let storm = """
                \(lab.peerBinary) storm --to \(stream.server) --over \(stream.echo.transport) --count 100 --parallel 2 \
                --wait 8000 --program \(stream.echo.program) --version 1 --service \(stream.echo.transport)
                """
            try lab.spawn(
                .approved, stream.name,
                ["sh", "-c", "while [ ! -e \(lab.state)/enough ]; do \(storm); done; echo enough"])
        }

        @Test("a restart leaves no call unanswered, over UDP and TCP, IPv4 and IPv6", .lab(.rpcbind))
        func restart() async throws {
            let lab = try Lab.current
            try lab.configure(
                "limits: {calls-per-second: 20000, tcp-connections-per-client: 256}", policy: Policies.echoes())
            try lab.spawn(
                .server, "daemon", ["perl", Self.holder, lab.binary, "serve", "--config", lab.configuration])
            try await lab.event(.started)
            for stream in Self.streams { try await lab.start(stream.echo) }
            for stream in Self.streams { try Self.ask(lab, stream) }
            for restart in 1...Self.restarts {
                // The streams must be well under way, beyond their start.
                let asked = Self.streams.map { lab.log($0.name).count }
                try await eventually("all go on") {
                    zip(Self.streams, asked).allSatisfy { lab.log($0.name).count > $1 }
                }
                #expect(Glibc.kill(try Self.daemon(lab), SIGTERM) == 0)
                try await eventually("started again") { try lab.events(.started).count == restart + 1 }
            }
            try lab.write("", to: "enough")
            for name in Self.streams.map(\.name) {
                try await eventually("\(name) ends") { lab.log(name).hasSuffix("enough\n") }
                let rounds = lab.log(name).split(separator: "\n").dropLast()
                #expect(rounds.count > Self.restarts)
                for round in rounds { #expect(round.hasPrefix("ok=100 "), "\(name): \(round)") }
            }
            #expect(try lab.events(.stopped).count == Self.restarts)
        }

        @Test(
            "the daemon does not end in the midst of a call that arrives slowly",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func slow() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            let call = record(echo.getPort.encoded(xid: 7))
            try lab.spawnPeer(
                .approved, "slow",
                "stream --to 10.77.1.1 --pieces \(call.count / 4) --every 100 --wait 5000 --hex \(hex(call))")
            try await eventually("it is connected") { try lab.counts()["connections"] == 1 }
            try lab.kill("daemon", "TERM")
            try await eventually("it has an answer") { lab.log("slow").contains("shown") }
            #expect(lab.log("slow").contains("bytes=32"), "\(lab.log("slow"))")
        }
    }
}
