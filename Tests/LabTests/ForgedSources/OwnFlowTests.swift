import Addresses
import Testing

extension LabTests {
    @Suite("This host as a client of others")
    struct OwnFlowTests {
        /// Calls the approved client's echo from the port three times; returns the number of answers.
        private static func ask(_ lab: Lab, _ transport: Transport, from port: Int, to other: Int = 6001) throws
            -> String
        {
            try lab.exec(
                .server,
                [
                    "perl", "-MIO::Socket::INET", "-e",
                    """
                    $s = IO::Socket::INET->new(PeerAddr => "10.77.1.2:\(other)", LocalPort => \(port),
                        Proto => "\(transport)", ReuseAddr => 1, Timeout => 2) or die "connect: $!";
                    $n = 0;
                    for (1..3) {
                        send($s, "ping", 0) or die "send: $!";
                        vec($r = "", fileno($s), 1) = 1;
                        last unless select($r, undef, undef, 1);
                        sysread($s, $b, 4096) and $n++;
                    }
                    print $n;
                    """,
                ]
            ).text
        }

        @Test(
            "it hears its replies from the ports of its services, dead or alive, and nobody else comes in by them",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()),
            // TCP does not allow the same port twice.
            arguments: [(Transport.tcp, false), (.udp, false), (.udp, true)])
        func answered(transport: Transport, isAlive: Bool) async throws {
            let lab = try Lab.current
            let echo = Echo(transport: transport)
            try await lab.start(echo)
            if !isAlive { try lab.kill(echo.name) }
            try lab.spawnPeer(.approved, "other", "listen --at 0.0.0.0 --port 6001 --over \(transport) --echo")
            try await eventually("the other listens") { lab.log("other").contains("listening") }
            try await eventually("it is answered") { try Self.ask(lab, transport, from: 4001) == "3" }
            #expect(try lab.elements(of: "guarded").contains("\(transport) . 4001"))
            #expect(try ["timeout", "silence"].contains(lab.connect(echo)), "the approved client hasn't looked it up")
            #expect(try ["timeout", "silence"].contains(lab.connect(echo, from: .stranger, to: "10.77.4.1")))
            #expect(try lab.events(.tampered).isEmpty)
        }

        /// A server that sends to its last peer, with or without a request.
        private static let chatter = """
            $s = IO::Socket::INET->new(LocalAddr => "0.0.0.0:4001", Proto => "udp") or die;
            $| = 1; print "ready\\n";
            while (1) {
                vec($r = "", fileno($s), 1) = 1;
                if (select($r, undef, undef, 0.02)) { $p = recv($s, $b, 100, 0); print "from client\\n" if defined $p; $to = $p if $p }
                send($s, "x" x 10, 0, $to) if $to;
            }
            """

        @Test(
            "a revoked client of UDP stays out though the server keeps sending",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func revoked() async throws {
            let lab = try Lab.current
            let echo = Echo(transport: .udp)
            try lab.spawn(.server, "chatter", ["perl", "-MIO::Socket::INET", "-e", Self.chatter])
            try await eventually("it listens") { lab.log("chatter").contains("ready") }
            try lab.register(echo)
            try await eventually("guarded") { try lab.elements(of: "guarded").contains("udp . 4001") }
            try lab.lookUp(echo)
            try lab.spawn(
                .approved, "talker",
                [
                    "perl", "-MIO::Socket::INET", "-e",
                    """
                    $s = IO::Socket::INET->new(PeerAddr => "10.77.1.1:4001", Proto => "udp") or die; $| = 1;
                    while (1) { send($s, "ping", 0); select undef, undef, undef, 0.05; print "." }
                    """,
                ])
            func heard() -> Int { lab.log("chatter").split(separator: "\n").count }
            try await eventually("datagrams flow") { heard() > 10 }
            #expect(try lab.rpcwarden("revoke", "--client", "10.77.1.2").isSuccess)
            try await eventually("it is noted") {
                try lab.shell("nft list set inet rpcwarden revoked4").contains("10.77.1.2")
            }
            let (before, sent) = (heard(), lab.log("talker").count)
            try await eventually("the client goes on sending") { lab.log("talker").count > sent + 20 }
            #expect(heard() <= before + 1, "one may have been under way")
            #expect(try lab.shell("conntrack -L -p udp --orig-port-src 4001").contains("10.77.1.2"), "loose pickup")
        }

        @Test(
            "a flow that began before its port was guarded is cut, whatever mark it has",
            .lab(.rpcbind, policy: Policies.echoes()))
        func earlier() async throws {
            let lab = try Lab.current
            try lab.shell(
                """
                nft 'table inet other { chain first {
                    type filter hook prerouting priority -100; ct mark set ct mark or 0x20000000; }; }'
                """)
            let echo = Echo()
            try await lab.start(echo, isRegistered: false)
            try lab.spawnPeer(
                .stranger, "early",
                "connect --to 10.77.4.1 --port 4001 --over tcp --send ping --repeat 1000 --every 50 --wait 500")
            try await eventually("it flows") { lab.log("early").contains("received") }
            try await lab.serve(policy: Policies.echoes())
            try lab.register(echo)
            try await eventually("it is cut") { lab.log("early").contains("silence") }
        }
    }
}
