import Addresses
import Foundation
import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite("Listeners")
    struct ListenerTests {
        /// A perl script that creates UDP and TCP sockets for both families, as rpcwarden.socket does, and
        /// executes the daemon.
        private static let socketUnit = """
            use strict; use Fcntl qw(F_DUPFD); use POSIX (); use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);
            my @made;
            for my $family (AF_INET, AF_INET6) { for my $type (SOCK_DGRAM, SOCK_STREAM) {
                socket(my $s, $family, $type, 0) or die;
                setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1) if $type == SOCK_STREAM;
                setsockopt($s, 41, 26, 1) or die "v6only" if $family == AF_INET6;
                bind($s, $family == AF_INET ? pack_sockaddr_in(111, INADDR_ANY)
                    : pack_sockaddr_in6(111, inet_pton(AF_INET6, "::"))) or die "bind: $!";
                listen($s, 100) or die if $type == SOCK_STREAM;
                push @made, fcntl($s, F_DUPFD, 64);
            } }
            POSIX::dup2($made[$_], 3 + $_) for 0 .. 3;
            $ENV{LISTEN_FDS} = 4; $ENV{LISTEN_PID} = $$;
            exec @ARGV or die;
            """

        @Test("port 111 in use: ends with 2, naming it and the remedy", .lab())
        func portInUse() async throws {
            let lab = try Lab.current
            try lab.control("rpcbind", "start", "--stock")
            try lab.configure(policy: Policies.standard)
            let output = try lab.rpcwarden("serve")
            #expect(output.status == 2, "\(output)")
            #expect(output.errors.contains("111") && output.errors.contains("`rpcwarden setup`"), "\(output)")
            #expect(try lab.events(.started).isEmpty)
        }

        @Test("a configuration with a mistake: ends with 2, and nothing is made", .lab(.rpcbind))
        func mistake() throws {
            let lab = try Lab.current
            try lab.configure("moode: enforce", policy: Policies.standard)
            let output = try lab.rpcwarden("serve")
            #expect(output.status == 2 && output.errors.contains("rpcwarden.yaml:3:1: error:"), "\(output)")
            #expect(output.errors.contains("did you mean \"mode\""))
            #expect(try lab.nft("list tables").text.isEmpty)
        }

        @Test("a second daemon ends, and leaves the first one's table and socket alone", .lab(.rpcbind, .daemon))
        func secondDaemon() throws {
            let lab = try Lab.current
            let output = try lab.rpcwarden("serve")
            #expect(output.status == 2, "\(output)")
            #expect(try lab.listing("status", as: StatusReport.self).table.intact)
        }

        @Test("answer over UDP and TCP, IPv4 and IPv6, on our own sockets", .lab(.rpcbind, .daemon))
        func ownSockets() throws { try expectAnswersEverywhere(try Lab.current) }

        @Test("answer on the sockets that systemd passes", .lab(.rpcbind))
        func passedSockets() async throws {
            let lab = try Lab.current
            try await lab.serve(through: ["perl", "-e", Self.socketUnit])
            try expectAnswersEverywhere(lab)
        }

        @Test("answer over IPv4 alone where the kernel has no IPv6, and say so", .lab(.rpcbind))
        func withoutIPv6() async throws {
            let lab = try Lab.current
            try await lab.serve(through: ["perl", Self.noIPv6])
            #expect(lab.log("daemon").contains("can't listen at udp/[::]:111: Address family not supported"))
            #expect(lab.log("daemon").contains("this address is skipped"), "\(lab.log("daemon"))")
            for transport in [Transport.udp, .tcp] {
                #expect(try lab.ask(.approved, .null(.v2), to: "10.77.1.1", over: transport).body == .success([]))
            }
            let bound = try lab.exec(.server, "ss", "-Hlntu", "sport = :111").lines
            #expect(bound.count == 2 && !bound.contains { $0.contains("[::]") }, "\(bound)")
        }

        private static let noIPv6 = Lab.path("scripts/lab.d/no-ipv6.pl")

        @Test("answer where IPv6 is switched off, all the same", .lab(.rpcbind))
        func switchedOffIPv6() async throws {
            let lab = try Lab.current
            #expect(try lab.exec(.server, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1").isSuccess)
            try await lab.serve()
            for transport in [Transport.udp, .tcp] {
                #expect(try lab.ask(.approved, .null(.v2), to: "10.77.1.1", over: transport).body == .success([]))
            }
        }

        @Test(
            "listen only where the configuration says", .lab(.rpcbind, .daemon, settings: "listen: [\"10.77.1.9:111\"]")
        )
        func configuredAddress() throws {
            let lab = try Lab.current
            #expect(
                try lab.ask(.approved, .null(.v2), to: "10.77.1.1", over: .udp, options: "--wait 300").replies.isEmpty)
            for transport in [Transport.udp, .tcp] {
                #expect(try lab.ask(.approved, .null(.v2), to: "10.77.1.9", over: transport).body == .success([]))
            }
        }

        /// Secondary addresses and the addresses of other interfaces are included; the kernel selects the source
        /// address.
        @Test(
            "answer the server itself with everything, at loopback and at its own addresses",
            .lab(.rpcbind, .ganesha, .daemon),
            arguments: [
                "127.0.0.1", "127.9.9.9", "::1", "10.77.1.1", "10.77.1.9", "10.77.2.1", "fd77:1::1", "fd77:4::1",
            ])
        func loopback(address: String) throws {
            let lab = try Lab.current
            for arguments in [["-p", address], ["-s", address], [address]] {
                let output = try lab.exec(.server, ["rpcinfo"] + arguments, seconds: 5)
                #expect(output.isSuccess, "\(output)")
                for name in ["nfs", "mountd", "nlockmgr", "rquotad"] {
                    #expect(output.text.contains(name), "\(arguments): \(output)")
                }
            }
            try expectList(lab, address)
            // From another address of the server.
            let source = address.contains(":") ? "fd77:3::1" : "10.77.3.1"
            if !["::1", "127.0.0.1"].contains(address) { try expectList(lab, address, "--from \(source)") }
        }

        @Test("answer the server itself at its link-local addresses", .lab(.rpcbind, .ganesha, .daemon))
        func linkLocal() throws {
            let lab = try Lab.current
            for interface in ["to-approved1", "to-stranger4"] {
                let shown = try lab.exec(.server, "ip", "-6", "-o", "addr", "show", "dev", interface, "scope", "link")
                let address = try #require(shown.text.firstMatch(of: /inet6 (fe80[0-9a-f:]+)/)?.1, "\(shown)")
                try expectList(lab, String(address), "--interface \(interface)")
            }
        }

        @Test("know the server itself at an address that it has just been given", .lab(.rpcbind, .ganesha, .daemon))
        func newAddress() async throws {
            let lab = try Lab.current
            let stranger = try lab.ask(.server, .null(.v2), to: "fd77:1::1", over: .udp, options: "--from fd77:9::9")
            #expect(stranger.replies.isEmpty, "no address of this host: \(stranger)")
            #expect(
                try lab.exec(.server, "ip", "addr", "add", "fd77:9::9/128", "dev", "to-approved1", "nodad").isSuccess)
            try await eventually("it is this host") {
                try lab.ask(.server, .null(.v2), to: "fd77:1::1", over: .udp, options: "--from fd77:9::9 --wait 300")
                    .replies.count == 1
            }
            try expectList(lab, "fd77:9::9")
        }

        private func expectList(_ lab: Lab, _ address: String, _ options: String = "") throws {
            for transport in [Transport.udp, .tcp] {
                for version in PortmapperVersion.allCases {
                    let answer = try lab.ask(.server, .dump(version), to: address, over: transport, options: options)
                    guard case .success(let results) = answer.body, results.count > 200 else {
                        Issue.record("v\(version.rawValue) DUMP over \(transport) to \(address) \(options): \(answer)")
                        continue
                    }
                }
            }
        }

        /// With these settings the kernel accepts packets from the network whose source is one of the server's
        /// addresses.
        private static let trusting = """
            for setting in accept_local=1 route_localnet=1 rp_filter=0; do
                for file in /proc/sys/net/ipv4/conf/*/${setting%=*}; do echo ${setting#*=} >$file; done
            done
            """

        /// The number of datagrams that no socket received, including those that rpcwarden's filter dropped.
        private static func unreceived(_ lab: Lab) throws -> Int {
            let output = try lab.exec(.server, "cat", "/proc/net/snmp", "/proc/net/snmp6")
            let lines = output.lines.map { $0.split(whereSeparator: \.isWhitespace) }
            let ipv4 = lines.filter { $0.first == "Udp:" }
            let place = try #require(ipv4.first?.firstIndex(of: "InErrors"))
            let ipv6 = try #require(lines.first { $0.first == "Udp6InErrors" })
            return try #require(Int(ipv4[1][place])) + #require(Int(ipv6[1]))
        }

        @Test(
            "take nobody for the server itself who comes from outside with its address",
            .lab(.rpcbind, .daemon, settings: "rpcbind: {local-registration: true}\nquarantine: false"),
            arguments: [false, true])
        func forgedSource(isTrusting: Bool) async throws {
            let lab = try Lab.current
            let before = try lab.registeredServices()
            if isTrusting {
                for host in [Lab.Host.server, .approved] {
                    #expect(try lab.exec(host, "sh", "-c", Self.trusting).isSuccess)
                }
                // Lets the client send with these source addresses.
                for address in ["10.77.1.9", "10.77.2.1"] {
                    #expect(try lab.exec(.approved, "ip", "route", "add", "local", address, "dev", "lo").isSuccess)
                }
            }
            let unreceived = try Self.unreceived(lab)
            // From the server's own address to the same address, from another address of the server, and from
            // loopback.
            for (source, server) in [
                ("fd77:1::1", "fd77:1::1"), ("fd77:2::1", "fd77:1::1"), ("::1", "fd77:1::1"),
                ("10.77.1.9", "10.77.1.1"), ("10.77.2.1", "10.77.1.1"), ("127.0.0.1", "10.77.1.1"),
            ] {
                for call in [
                    "udp v2 set 0x20000055 1 tcp 4055", "udp v4 set 0x20000055 1 tcp 0.0.0.0.15.170 superuser",
                    "tcp v2 set 0x20000055 1 tcp 4055",
                ] {
                    try lab.peer(.approved, "call --to \(server) --from \(source) --wait 100 --over \(call)")
                }
            }
            #expect(try lab.ask(.approved, .null(.v2), over: .udp).body == .success([]))
            // The datagrams reached the filter: IPv6 ones always, except from ::1; IPv4 ones if the kernel accepts
            // them.
            #expect(try Self.unreceived(lab) - unreceived >= (isTrusting ? 10 : 4))
            #expect(try lab.events(.denied).isEmpty)
            #expect(try lab.events(.permitted).allSatisfy { $0.procedure == "null" })
            #expect(try lab.registeredServices() == before)
        }

        @Test("deny a local SET over loopback by default", .lab(.rpcbind, .daemon), arguments: ["127.0.0.1", "::1"])
        func localSetDenied(address: String) async throws {
            let lab = try Lab.current
            let before = try lab.registeredServices()
            for transport in ["udp", "tcp"] {
                let output = try lab.peer(
                    .server, "call --to \(address) --over \(transport) v2 set 0x20000055 1 tcp 4055")
                #expect(output.text.contains("auth-error"), "\(output)")
            }
            #expect(try lab.registeredServices() == before)
            try await lab.event(.denied) { $0.reason == "remote-registration" && $0.client == address }
        }

        private func expectAnswersEverywhere(_ lab: Lab) throws {
            for (server, source) in [
                ("10.77.1.1", "10.77.1.1:111"), ("10.77.1.9", "10.77.1.9:111"), ("fd77:1::1", "[fd77:1::1]:111"),
            ] {
                for transport in [Transport.udp, .tcp] {
                    for version in PortmapperVersion.allCases {
                        let answer = try lab.ask(.approved, .null(version), to: server, over: transport)
                        #expect(answer.body == .success([]), "\(server) \(transport) \(version): \(answer)")
                        #expect(answer.sources == [source], "from the address that was asked")
                    }
                }
            }
        }
    }
}
