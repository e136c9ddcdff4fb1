import Foundation
import Testing

extension LabTests {
    @Suite("Doctor")
    struct DoctorTests {
        /// A finding of `doctor --json`.
        private struct Finding: Decodable {
            var finding: String
            var severity: String
            var what: String
            var why: String
            var mend: [String]
        }

        private func examine(_ lab: Lab, exits status: Int32) throws -> [String: Finding] {
            let output = try lab.rpcwarden("doctor", "--json")
            #expect(output.status == status, "\(output)")
            let findings = try JSONDecoder().decode([Finding].self, from: Data(output.text.utf8))
            return Dictionary(findings.map { ($0.finding, $0) }) { first, _ in first }
        }

        /// Passes rpcbind the sockets that it had behind rpcwarden 0.1.0.
        private static let relocated = """
            use strict; use Fcntl qw(F_DUPFD); use POSIX (); use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);
            my ($path, @made) = ("/run/rpcbind.sock");
            unlink $path;
            for my $place ([AF_UNIX, pack_sockaddr_un($path)], [AF_INET, pack_sockaddr_in(1111, INADDR_LOOPBACK)],
                [AF_INET6, pack_sockaddr_in6(1111, inet_pton(AF_INET6, "::1"))]) {
                for my $type ($place->[0] == AF_UNIX ? SOCK_STREAM : (SOCK_STREAM, SOCK_DGRAM)) {
                    socket(my $s, $place->[0], $type, 0) or die;
                    setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1) if $type == SOCK_STREAM;
                    bind($s, $place->[1]) or die "bind: $!";
                    listen($s, 100) or die if $type == SOCK_STREAM;
                    push @made, fcntl($s, F_DUPFD, 64);
                }
            }
            POSIX::dup2($made[$_], 3 + $_) for 0 .. $#made;
            $ENV{LISTEN_FDS} = @made; $ENV{LISTEN_PID} = $$;
            exec @ARGV or die;
            """

        private func register(_ lab: Lab, _ words: String, asRoot isRoot: Bool = true) throws {
            let command =
                [lab.peerBinary, "call", "--unix", "/run/rpcbind.sock", "v4"]
                + words.split(separator: " ").map(String.init)
            let output = try lab.exec(.server, (isRoot ? [] : Lab.asNobody) + command)
            #expect(output.text.contains("true"), "\(output)")
        }

        @Test("finds a stock rpcbind that others reach, and nothing of it once rpcwarden is in front", .lab())
        func network() async throws {
            let lab = try Lab.current
            try lab.configure(policy: Policies.standard)
            try lab.control("rpcbind", "start", "--stock")
            try lab.control("statd", "start")
            let stock = try examine(lab, exits: 1)
            let exposed = try #require(stock["rpcbind-exposed"], "\(stock.keys)")
            #expect(exposed.severity == "high")
            for place in ["tcp 0.0.0.0:111", "tcp [::]:111", "udp 0.0.0.0:111", "udp [::]:111"] {
                #expect(exposed.what.contains(place))
            }
            #expect(stock["stale-registration"] == nil && stock["untrusted-registration"] == nil)
            #expect(stock["no-warm-start"] == nil && stock["remote-calls"] == nil)

            let before = try lab.registeredServices().filter { $0[0] == "100024" }
            try lab.control("rpcbind", "stop")
            try lab.control("rpcbind", "start")
            // Registrations survive the restart (warm start), as setup promises.
            #expect(before.count == 4)
            #expect(try lab.registeredServices().filter { $0[0] == "100024" } == before)
            #expect(try examine(lab, exits: 1)["rpcwarden-not-running"] != nil)

            try await lab.serve()
            let behind = try examine(lab, exits: 0)
            #expect(behind.values.allSatisfy { $0.severity == "note" }, "\(behind)")
            let text = try lab.rpcwarden("doctor")
            #expect(text.isSuccess && !text.text.contains("0.0.0.0:111"), "\(text)")

            // As with setup of 0.1.0: rpcbind listens at loopback, in this host's network.
            try lab.kill("rpcbind")
            try lab.spawn(.server, "rpcbind", ["perl", "-e", Self.relocated, "rpcbind", "-f", "-w"])
            try await eventually("rpcbind answers") { try lab.exec(.server, "rpcinfo", seconds: 2).isSuccess }
            let half = try examine(lab, exits: 1)
            #expect(half["rpcbind-has-network"]?.mend.last == "unshare -n rpcbind -w", "\(half.keys)")
        }

        @Test(
            "on a terminal is folded, but for commands, and has colours unless NO_COLOR is set; check, too",
            .enabled(if: Tmux.isInstalled), .lab(.rpcbind))
        func terminal() async throws {
            let lab = try Lab.current
            try lab.configure(policy: "rules: [{name: a, from: [10.0.0.300], to: [mountdd, nfss, nlockmgrr]}]")
            for (environment, hasColours) in [([], true), (["NO_COLOR=1"], false)] {
                let tmux = try await Tmux(lab, rows: 60, environment: environment)
                defer { tmux.kill() }
                for (command, word) in [("doctor", "high:"), ("check", "error:")] {
                    try tmux.type("clear; \(lab.binary) \(command) --config \(lab.configuration); echo status $?")
                    let lines = try await tmux.shows("status \(command == "doctor" ? 1 : 2)")
                    #expect(
                        lines.contains { $0.contains("\(word) ") } && lines.allSatisfy { $0.count <= 80 }, "\(lines)")
                    let isFolded = lines.contains { $0.hasPrefix("    ") && $0.contains(/^ +[a-z"\/]/) }
                    #expect(isFolded, "\(lines)")
                    #expect(try tmux.colouredScreen().contains("\u{1b}[31m\(word)") == hasColours, "\(lines)")
                }
            }
            let piped = try lab.rpcwarden("doctor")
            #expect(!piped.text.contains("\u{1b}") && piped.lines.last?.contains("finding") == true, "\(piped)")
        }

        @Test("finds remote calls, and a start that forgets, in the process that runs", .lab())
        func options() async throws {
            let lab = try Lab.current
            try lab.configure(policy: Policies.standard)
            try lab.spawn(.server, "rpcbind", ["rpcbind", "-f", "-r"])
            try await eventually("rpcbind answers") { try lab.exec(.server, "rpcinfo", seconds: 2).isSuccess }
            let found = try examine(lab, exits: 1)
            #expect(found["remote-calls"]?.severity == "high")
            #expect(found["no-warm-start"] != nil && found["rpcbind-not-needed"] != nil, "\(found.keys)")
        }

        @Test("tells stale and untrusted registrations, and NFSv4 alone", .lab(.rpcbind, .daemon))
        func registrations() async throws {
            let lab = try Lab.current
            try lab.spawnPeer(.server, "nfs", "listen --at 0.0.0.0 --port 2049 --over tcp")
            try await eventually("nfs listens") { lab.log("nfs").contains("listening") }
            try register(lab, "set 100003 4 tcp 0.0.0.0.8.1 superuser")
            let only = try examine(lab, exits: 1)
            #expect(only["nfsv4-only"]?.why.contains("Neither rpcbind nor rpcwarden is needed") == true, "\(only.keys)")

            try register(lab, "set 100005 3 tcp 0.0.0.0.78.80 superuser")
            try register(lab, "set 536870913 1 tcp 0.0.0.0.8.1 somebody", asRoot: false)
            let found = try examine(lab, exits: 1)
            #expect(found["nfsv4-only"] == nil)
            #expect(found["stale-registration"]?.what.contains("100005 version 3 at tcp/20048") == true, "\(found)")
            #expect(found["stale-registration"]?.what.contains("tcp/2049") == false)
            let untrusted = try #require(found["untrusted-registration"])
            #expect(untrusted.what.contains("536870913 version 1 at tcp/2049 by 65534"))
            #expect(untrusted.mend.last == "rpcinfo -d 536870913 1")
            for command in untrusted.mend + (found["stale-registration"]?.mend ?? []) where command.hasPrefix("rpcinfo")
            {
                #expect(try lab.exec(.server, command.split(separator: " ").map(String.init)).isSuccess, "\(command)")
            }
            #expect(try examine(lab, exits: 1)["untrusted-registration"] == nil)
        }

        @Test(
            "finds nftables and iptables that drop what rpcwarden opens, and its own remedy mends it",
            .lab(.rpcbind, .daemon))
        func otherTables() throws {
            let lab = try Lab.current
            try lab.exec(.server, "nft", "add table inet filter").succeeds()
            try lab.exec(
                .server, "nft",
                "add chain inet filter input { type filter hook input priority filter; policy drop; }"
            ).succeeds()
            try lab.exec(.server, "nft", "add rule inet filter input iif lo accept").succeeds()
            for command in ["iptables", "ip6tables"] {
                try lab.exec(.server, command, "-P", "INPUT", "DROP").succeeds()
            }
            let output = try lab.rpcwarden("doctor", "--json")
            let findings = try JSONDecoder().decode([Finding].self, from: Data(output.text.utf8))
                .filter { $0.finding == "other-table-drops" }
            #expect(findings.count == 3, "\(output)")
            for command in findings.flatMap(\.mend) where !command.hasPrefix("#") {
                try lab.exec(.server, "sh", "-ec", command).succeeds()
            }
            #expect(try lab.rpcwarden("doctor").text.contains("other-table-drops") == false)
        }
    }
}

extension Output {
    fileprivate func succeeds() throws {
        guard isSuccess else { throw CommandError(command: [], output: self) }
    }
}
