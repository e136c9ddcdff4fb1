import Testing

extension LabTests {
    @Suite("Revoke")
    struct RevokeTests {
        @Test(
            "refuses what is no address with 2, and says 3 where no daemon is",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func refusals() throws {
            let lab = try Lab.current
            for words in [
                ["--client", "10.77.1"], ["--client", "nonsense"], ["--client", "10.77.1.2", "--port", "70000"], [],
            ] {
                let output = try lab.exec(.server, [lab.binary, "revoke"] + words + ["--config", lab.configuration])
                #expect(output.status == 2 && !output.errors.isEmpty, "\(words): \(output)")
            }
            try lab.kill("daemon")
            let output = try lab.rpcwarden("revoke", "--client", "10.77.1.2")
            #expect(output.status == 3 && output.errors.hasPrefix("rpcwarden: can't reach the daemon"), "\(output)")
        }

        @Test(
            "ends that client's grant and established flow, and no other client's or port's",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func endsOneFlow() async throws {
            let lab = try Lab.current
            let (first, second) = (Echo(), Echo(program: Echo.programs[1], port: 4002))
            try await lab.start(first)
            try await lab.start(second)
            let flows: [(name: String, echo: Echo, source: String)] = [
                ("revoked", first, "10.77.1.2"), ("other-client", first, "10.77.1.3"),
                ("other-port", second, "10.77.1.2"),
            ]
            for flow in flows {
                try lab.lookUp(flow.echo, options: "--from \(flow.source)")
                try lab.spawnPeer(
                    .approved, flow.name,
                    "connect --to 10.77.1.1 --port \(flow.echo.port) --over tcp --from \(flow.source)"
                        + " --send ping --repeat 1000 --every 50 --wait 1000")
            }
            for flow in flows {
                try await eventually("\(flow.name) flows") { Self.rounds(lab, flow.name) > 3 }
            }
            let output = try lab.rpcwarden("revoke", "--client", "10.77.1.2", "--port", "4001")
            #expect(output.isSuccess && output.text.contains("10.77.1.2 tcp/4001"), "\(output)")
            try await lab.event(.revoked) { $0.client == "10.77.1.2" && $0.granted == "tcp/4001" }

            try await eventually("the flow is cut") { lab.log("revoked").contains("silence") }
            let before = flows.map { Self.rounds(lab, $0.name) }
            try await eventually("the other flows go on") {
                Self.rounds(lab, "other-client") > before[1] + 10 && Self.rounds(lab, "other-port") > before[2] + 10
            }
            #expect(Self.rounds(lab, "revoked") == before[0])
            #expect(!lab.log("other-client").contains("silence") && !lab.log("other-port").contains("silence"))
            #expect(try lab.connect(first) == "timeout")
            #expect(
                try Set(lab.grants().map { "\($0.client) \($0.service)" }) == [
                    "10.77.1.3 tcp/4001", "10.77.1.2 tcp/4002",
                ])
            #expect(try lab.events(.revoked).count == 1)

            let again = try lab.rpcwarden("revoke", "--client", "10.77.1.2", "--port", "4001")
            #expect(again.isSuccess && again.text.contains("no grant"), "\(again)")
        }

        @Test(
            "of a client that a rule with `open: always` admits cuts its flows, and says which rule lets it in again",
            .lab(.rpcbind, .daemon, policy: Policies.echoes(open: "always")))
        func alwaysOpen() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try await eventually("it stands open") { try lab.connect(echo) == "connected" }
            try lab.spawnPeer(
                .approved, "flow",
                "connect --to 10.77.1.1 --port \(echo.port) --over tcp --send ping --repeat 1000 --every 50 --wait 1000"
            )
            try await eventually("it flows") { Self.rounds(lab, "flow") > 3 }
            let other = try lab.rpcwarden("revoke", "--client", "10.77.1.2", "--port", "1")
            #expect(other.isSuccess && other.text.contains("no grant"), "\(other)")
            let output = try lab.rpcwarden("revoke", "--client", "10.77.1.2", "--transport", "tcp")
            #expect(
                output.isSuccess
                    && output.text.contains("still admitted: \(echo.program) at tcp/\(echo.port), by policy.yaml:")
                    && output.text.contains("\"approved clients use the echoes\", open: always"), "\(output)")
            // The port has a standing element, so the flow continues with its next packet.
            let before = Self.rounds(lab, "flow")
            try await eventually("it flows again") { Self.rounds(lab, "flow") > before + 3 }
            let again = try lab.rpcwarden("revoke", "--client", "10.77.4.2")
            #expect(again.isSuccess && again.text.contains("no grant"), "\(again)")
        }

        @Test("ends a flow though the server keeps sending", .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func endsTheServersFlow() async throws {
            let lab = try Lab.current
            let echo = Echo()
            // A server that sends without a request: by loose pickup, its packets make a new conntrack entry.
            try lab.spawn(
                .server, "chatter",
                [
                    "perl", "-MIO::Socket::INET", "-e",
                    """
                    $l = IO::Socket::INET->new(LocalAddr => "0.0.0.0:4001", Listen => 5, ReuseAddr => 1) or die;
                    $SIG{PIPE} = "IGNORE";
                    while ($s = $l->accept) { while (syswrite($s, "x" x 100)) { select undef, undef, undef, 0.02 } }
                    """,
                ])
            try lab.register(echo)
            try await eventually("guarded") { try lab.elements(of: "guarded").contains("tcp . 4001") }
            try lab.lookUp(echo)
            try lab.spawn(
                .approved, "listener",
                [
                    "perl", "-MIO::Socket::INET", "-e",
                    """
                    $| = 1; $s = IO::Socket::INET->new("10.77.1.1:4001") or die;
                    while (sysread($s, $b, 4096)) { print "." }
                    """,
                ])
            try await eventually("bytes flow") { lab.log("listener").count > 10 }
            #expect(try lab.rpcwarden("revoke", "--client", "10.77.1.2").isSuccess)
            // The client's acknowledgements no longer arrive, so the server's window is used up after a few
            // packets.
            try await eventually("the flow ends") {
                let before = try lab.exec(.server, "ss", "-tnH", "sport", "=", ":4001").text
                return before.contains("ESTAB") && (Int(before.split(separator: " ")[2]) ?? 0) > 1000
            }
            #expect(try lab.connect(echo) == "timeout")
        }

        private static func rounds(_ lab: Lab, _ name: String) -> Int {
            lab.log(name).split(separator: "\n").count { $0.hasPrefix("received") }
        }
    }
}
