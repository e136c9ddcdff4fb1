import Addresses
import Testing

/// One client floods or doesn't read; the approved client is answered.
extension LabTests {
    @Suite("One client's cost")
    struct FairnessTests {
        private static let patient = "quarantine: false"

        /// Approved clients look the echo up over both transports; each must be answered, if asked again after two
        /// seconds, as clients do.
        private func expectAnswers(_ lab: Lab, _ echo: Echo, _ what: String, count: Int = 50) throws {
            for transport in Transport.allCases {
                let storm = try lab.peer(
                    .approved,
                    "storm --to 10.77.1.1 --over \(transport) --count \(count) --program \(echo.program) --version 1"
                        + " --service tcp --sources 10.78.0.1/\(count) --wait 2000 --retries 9", seconds: 60)
                #expect(try storm.number("ok") == count, "\(what), \(transport): \(storm)")
                print("\(what), \(transport): \(storm.text.dropLast())")
            }
        }

        @Test(
            "a local user that floods, over UDP and by a thousand connections, costs remote clients and lockd nothing",
            .lab(.rpcbind, .daemon, settings: patient, policy: Policies.echoes()))
        func localFlood() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.spawnPeer(
                .server, "datagrams", "flood --to 127.0.0.1 --over udp --sources 127.0.0.1/64 --seconds 60")
            try lab.spawnPeer(
                .server, "connections",
                "debt --to 10.77.1.1 --connections 1000 --calls 0 --reads --hold 60000 distinct")
            try await eventually("they are connected") {
                lab.log("connections").contains("opened=1000")
            }
            try await Task.sleep(for: .seconds(1))
            try expectAnswers(lab, echo, "local flood", count: 25)
            // lockd calls over TCP, from an ephemeral source port.
            let lockd = try lab.peer(
                .server,
                "storm --to 127.0.0.1 --over tcp --count 20 --program \(echo.program) --version 1 --service tcp"
                    + " --wait 2000 --retries 9")
            print("local flood, this host: \(lockd.text.dropLast())")
            #expect(try lockd.number("ok") == 20, "\(lockd)")
            #expect(try lab.isRunning("datagrams") && lab.isRunning("connections"), "the flood went on")
            for flood in ["datagrams", "connections"] { try lab.kill(flood) }
        }

        @Test(
            "a stranger of the same /64 that floods, over UDP and TCP, takes nothing of a named client's rate",
            .lab(
                .rpcbind, .daemon, settings: patient,
                policy: "rules: [{name: one of a /64, from: [\"fd79::1:7\"], to: [\(Echo.programs[0])]}]"))
        func neighbour() async throws {
            let lab = try Lab.current
            let echo = Echo(isIPv4: false)
            try await lab.start(echo)
            try lab.spawnPeer(
                .stranger, "datagrams", "flood --to fd77:4::1 --over udp --sources fd79::1:8/64 --seconds 8")
            try lab.spawnPeer(
                .stranger, "connections",
                "debt --to fd77:4::1 --sources fd79::1:8/64 --connections 500 --calls 0 --reads --hold 7000 v4 dump")
            try await Task.sleep(for: .seconds(1))
            for transport in Transport.allCases {
                let storm = try lab.peer(
                    .stranger,
                    "storm --to fd77:4::1 --over \(transport) --count 50 --program \(echo.program) --version 1"
                        + " --service \(transport) --sources fd79::1:7/1 --wait 2000 --retries 9")
                print("neighbour, \(transport): \(storm.text.dropLast())")
                // The echo is registered over TCP only: over UDP the correct answer is that it is not registered.
                #expect(try storm.number(transport == .tcp ? "ok" : "denied") == 50, "\(storm)")
            }
        }

        /// A policy in which the approved clients may list the registrations of ``Lab/registerMany(_:)``, and use
        /// the first echo.
        private static func lister(_ count: Int) -> String {
            let programs = (1...count).map { String(0x3100_0000 + $0) } + [String(Echo.programs[0])]
            return """
                rules:
                  - name: lists many
                    from: [10.77.1.0/24, 10.78.0.0/16]
                    to: [\(programs.joined(separator: ", "))]
                    list: true
                """
        }

        static let debtors = [
            (name: "of this host", host: Lab.Host.server, to: "127.0.0.1", from: ""),
            (
                name: "of this host, each of them at its limit", host: .server, to: "127.0.0.1",
                from: "--connections 400"
            ),
            (name: "of a named client", host: .approved, to: "10.77.1.1", from: "--from 10.78.0.99"),
        ]

        @Test(
            "replies that nobody reads are bounded, and others are answered meanwhile", .lab(.rpcbind),
            arguments: debtors)
        func unread(name: String, host: Lab.Host, to: String, from: String) async throws {
            let lab = try Lab.current
            try lab.registerMany(2000)
            try await lab.serve("limits: {calls-per-second: 100000}\n" + Self.patient, policy: Self.lister(2000))
            let echo = Echo()
            try await lab.start(echo)
            let before = try lab.memory()
            let connections = from.contains("--connections") ? "" : "--connections 8"
            try lab.spawnPeer(
                host, "debtor", "debt --to \(to) \(from) \(connections) --calls 1000 --hold 8000 v4 dump")
            try await eventually("they are connected") { lab.log("debtor").contains("opened=") }
            var most = 0
            while try lab.isRunning("debtor") {
                try expectAnswers(lab, echo, "unread \(name)", count: 10)
                most = max(most, try lab.memory())
            }
            print("unread \(name): \(before) KiB before, \(most) KiB at the most; \(lab.log("debtor").dropLast())")
            #expect(most - before < 96 << 10, "grew by \(most - before) KiB")
        }
    }
}

extension Lab {
    /// Registers `count` programs as root, over rpcbind's unix socket.
    func registerMany(_ count: Int) throws {
        let script = """
            use strict; use IO::Socket::UNIX;
            my $s = IO::Socket::UNIX->new(Peer => "/run/rpcbind.sock") or die "connect: $!";
            sub text { pack("N/a* x!4", $_[0]) }
            for my $i (1 .. \(count)) {
                my $call = pack("N10", $i, 0, 2, 100000, 4, 1, 0, 0, 0, 0) . pack("N2", 0x31000000 + $i, 1)
                    . text("tcp") . text("0.0.0.0.200.1") . text("superuser");
                print $s pack("N", 0x80000000 | length $call) . $call; $s->flush;
                my $reply = ""; while (length $reply < 32) { sysread($s, $reply, 64, length $reply) or die "read" }
            }
            """
        let output = try exec(.server, "perl", "-e", script, seconds: 30)
        guard output.isSuccess else { throw CommandError(command: ["register many"], output: output) }
    }
}
