import Foundation
import Testing

extension LabTests {
    @Suite("rpcwarden probe", .lab(.rpcbind, .ganesha, .statd, .daemon))
    struct ProbeTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        @Test("finds all open to a client that may use them", arguments: ["10.77.1.1", "fd77:1::1"])
        func open(server: String) throws {
            let (output, rows) = try lab.probe(.approved, server)
            #expect(output.status == 0, "\(output)")
            #expect(rows.map(\.service) == ["nfs/tcp", "mountd/tcp", "nlockmgr/tcp", "status/tcp"])
            #expect(rows.map(\.version) == [3, 3, 4, 1])
            #expect(rows.allSatisfy { $0.verdict == "open" && $0.address == server }, "\(rows)")
            #expect(rows[1].port == (try lab.port(of: 100_005, 3, server == "fd77:1::1" ? "tcp6" : "tcp")))
            let udp = try lab.probe(.approved, server, "--transport", "udp", "--program", "mountd")
            #expect(udp.rows.map(\.service) == ["mountd/udp"] && udp.output.status == 0, "\(udp.output)")
        }

        @Test("needs no capability, and no daemon on the host that asks")
        func unprivileged() throws {
            let words = ["setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups", "--bounding-set", "-all"]
            let output = try lab.exec(.approved, words + [lab.binary, "probe", "10.77.1.1"])
            #expect(output.status == 0 && output.lines.count == 5, "\(output)")
            #expect(output.lines[0] == "PROGRAM   VERSION  TRANSPORT  PORT   VERDICT", "\(output)")
        }

        @Test("proves that a stranger gets nothing, over both transports", arguments: ["10.77.4.1", "fd77:4::1"])
        func stranger(server: String) throws {
            let (output, rows) = try lab.probe(.stranger, server, "--expect", "silent", "--timeout", "700ms")
            #expect(output.status == 0, "\(output)")
            #expect(rows.count == 8 && rows.allSatisfy { $0.verdict == "silent" && $0.port == nil }, "\(rows)")
            #expect(rows.filter { $0.transport == "udp" }.count == 4)
            let unexpected = try lab.probe(.stranger, server, "--timeout", "700ms")
            #expect(unexpected.output.status == 3 && unexpected.rows.count == 4, "\(unexpected.output)")
            #expect(unexpected.output.errors == "rpcwarden: nobody answers at port 111 of \(server)\n")
            let leak = try lab.probe(.approved, "10.77.1.1", "--expect", "silent")
            #expect(leak.output.status == 1 && leak.rows.contains { $0.verdict == "open" }, "\(leak.output)")
        }

        @Test("tells a denial, which only some rules' clients hear")
        func denied() throws {
            let denied = try lab.probe(
                .limited, "10.77.3.1", "--program", "nfs", "--program", "mountd", "--expect", "denied")
            #expect(
                denied.output.status == 0 && denied.rows.map(\.verdict) == ["denied", "denied"], "\(denied.output)")
            #expect(denied.rows[0].detail == "the portmapper answers AUTH_FAILED")
            let mixed = try lab.probe(.limited, "10.77.3.1", "--program", "nfs", "--program", "rquotad")
            #expect(mixed.output.status == 1 && mixed.rows.map(\.verdict) == ["denied", "open"], "\(mixed.output)")
        }

        @Test(
            "a denial that looks like an unregistered program is told as one",
            .lab(.rpcbind, .ganesha, .daemon, settings: "denial: {refuse: not-registered}"))
        func lookAlike() throws {
            let lab = try Lab.current
            let (output, rows) = try lab.probe(.limited, "10.77.3.1", "--program", "nfs")
            #expect(output.status == 1 && rows.map(\.verdict) == ["unregistered"], "\(output)")
        }

        @Test(
            "a guarded port that the client was told is shut",
            .lab(
                .rpcbind, .ganesha, .daemon,
                policy: Policies.standard.replacing("to: [nfsv3]\n", with: "to: [nfsv3]\n    open: never\n")))
        func shut() throws {
            let lab = try Lab.current
            let (output, rows) = try lab.probe(.approved, "10.77.1.1", "--program", "nfs", "--timeout", "700ms")
            #expect(output.status == 1 && rows.map(\.verdict) == ["shut"] && rows[0].port == 2049, "\(output)")
        }

        @Test(
            "of a dead host ends with 3, long before four times four timeouts", arguments: ["10.77.1.77", "fd77:1::77"])
        func deadHost(server: String) throws {
            let start = ContinuousClock.now
            let (output, rows) = try lab.probe(.approved, server, "--timeout", "2s")
            #expect(output.status == 3 && rows.map(\.verdict) == Array(repeating: "silent", count: 4), "\(output)")
            #expect(ContinuousClock.now - start < .seconds(12))
        }

        @Test("speaks to Nagios")
        func nagios() throws {
            func line(_ host: Lab.Host, _ words: String...) throws -> (Int32, String) {
                let output = try lab.exec(host, [lab.binary, "probe", "--nagios"] + words)
                #expect(output.lines.count == 1 && output.errors.isEmpty, "\(output)")
                return (output.status, output.text)
            }
            let good = try line(.approved, "10.77.1.1")
            #expect(
                good.0 == 0 && good.1.hasPrefix("RPC OK: 4 of 4 services of 10.77.1.1 open | 'nfs/tcp'=0."), "\(good)")
            let partly = try line(.limited, "10.77.3.1", "--program", "nfs", "--program", "rquotad")
            #expect(
                partly.0 == 2
                    && partly.1.hasPrefix("RPC CRITICAL: 1 of 2 services of 10.77.3.1 open; nfs/tcp denied | "))
            let dead = try line(.approved, "10.77.1.77", "--timeout", "500ms")
            #expect(dead.0 == 2 && dead.1.hasSuffix("; nobody answers at port 111\n"), "\(dead)")
            for words in [
                ["nosuch.invalid"], ["10.77.1.1", "--program", "mountdd"], ["10.77.1.1", "--from", "fd77:1::2"],
            ] {
                let output = try lab.exec(.approved, [lab.binary, "probe", "--nagios"] + words)
                #expect(output.status == 3 && output.text.hasPrefix("RPC UNKNOWN: "), "\(output)")
            }
        }

        @Test("asks from another address of its host, or says that it can't")
        func from() throws {
            let own = try lab.probe(.approved, "10.77.1.1", "--from", "10.77.1.3", "--program", "nfs")
            #expect(own.output.status == 0, "\(own.output)")
            #expect(try lab.grants().contains { $0.client == "10.77.1.3" && $0.service == "tcp/2049" })
            let foreign = try lab.exec(.server, lab.binary, "probe", "10.77.1.2", "--from", "192.0.2.1")
            #expect(foreign.status == 3 && foreign.text.isEmpty, "\(foreign)")
            #expect(foreign.errors.contains("can't ask 10.77.1.2 from 192.0.2.1: Cannot assign requested address"))
        }

        @Test("a datagram that this host's own firewall keeps proves no silence")
        func kept() throws {
            try lab.write(
                """
                add table inet own
                add chain inet own out { type filter hook output priority 0; }
                add rule inet own out udp dport 111 drop

                """, to: "own.nft")
            #expect(try lab.exec(.stranger, "nft", "-f", "\(lab.state)/own.nft").isSuccess)
            let (output, _) = try lab.probe(
                .stranger, "10.77.4.1", "--expect", "silent", "--transport", "udp", "--timeout", "700ms")
            #expect(try lab.exec(.stranger, "nft", "delete", "table", "inet", "own").isSuccess)
            #expect(output.status == 3 && output.text.isEmpty, "\(output)")
            #expect(output.errors == "rpcwarden: can't ask 10.77.4.1: Operation not permitted\n")
        }

        @Test("wrong usage ends with 2, and says what to do")
        func usage() throws {
            let cases = [
                ([], "no host"),
                (["10.77.1.1", "--program", "mountdd"], "unknown program: \"mountdd\""),
                (["10.77.1.1", "--program", "nfs/x"], "not a version: \"x\""),
                (["10.77.1.1", "--transport", "sctp"], "not a transport: \"sctp\""),
                (["10.77.1.1", "--expect", "shut"], "shut"),
                (["10.77.1.1", "--timeout", "5"], "not a timeout: \"5\""),
                (["nosuch.invalid"], "can't resolve \"nosuch.invalid\""),
                (["\u{1b}[31mx"], "can't resolve \"?[31mx\""),
                (["fe80::1%nosuch"], "no interface: \"nosuch\""),
                (["10.77.1.1%eth0"], "an IPv4 address has no zone"),
                (["10.77.1.1", "--from", "nonsense"], "--from: not an address"),
                (["--server", "nosuch"], "nosuch"),
                (["10.77.1.1", "--server", "nosuch"], "nosuch"),
            ]
            for (words, text) in cases {
                let output = try lab.rpcwarden("probe", words)
                #expect(
                    output.status == 2 && output.text.isEmpty && output.errors.contains(text), "\(words): \(output)")
            }
        }

        @Test("a name server that is silent holds up no command: probe ends with 3, explain tells the name", .lab())
        func silentNameServer() async throws {
            let lab = try Lab.current
            try await lab.silenceNames(timeout: 30)
            let rule = "rules: [{name: a, from: [slow.example, 10.77.1.2], to: [mountd]}]"
            try lab.configure(policy: rule)
            let commands = [
                ("probe slow.example --timeout 2s", 3, "slow.example could not be resolved within 2 s"),
                ("probe slow.example --timeout 300ms", 3, "slow.example could not be resolved within 300 ms"),
                ("probe slow.example --timeout 300ms --nagios", 3, "RPC UNKNOWN: slow.example could not be resolved"),
                ("explain --client 10.77.1.2 --program mountd", 0, "\"slow.example\" could not be resolved within 5 s"),
            ]
            for (words, status, text) in commands {
                let start = ContinuousClock.now
                let list = words.split(separator: " ").map(String.init)
                let output = try lab.rpcwarden(list[0], Array(list.dropFirst()))
                #expect(output.status == status && (output.text + output.errors).contains(text), "\(words): \(output)")
                // Without the limit it would be thirty seconds, for each of the two kinds of address.
                #expect(ContinuousClock.now - start < .seconds(20), "\(words)")
            }
        }

        @Test(
            "of servers behind a gateway: as a client, as a stranger, and from the gateway itself",
            .gateway(.filerRpcbind, .filerGanesha, .filerStatd, .daemon))
        func gateway() throws {
            let lab = try Lab.current
            for server in ["10.77.5.2", "fd77:5::2"] {
                let client = try lab.probe(.approved, server)
                #expect(client.output.status == 0, "\(client.output)")
                let stranger = try lab.probe(.stranger, server, "--expect", "silent", "--timeout", "700ms")
                #expect(stranger.output.status == 0, "\(stranger.output)")
            }
            let own = try lab.rpcwarden("probe", "--server", "filer1")
            #expect(own.status == 0 && own.lines.count == 5, "\(own)")
            #expect(try lab.rpcwarden("probe", "10.77.5.9", "--server", "filer1").status == 0)
            let other = try lab.rpcwarden("probe", "10.77.5.77", "--server", "filer1")
            #expect(
                other.status == 2 && other.errors.contains("10.77.5.77 is no address of the server filer1"), "\(other)")
            let unknown = try lab.rpcwarden("probe", "--server", "filer2")
            #expect(unknown.status == 2 && unknown.errors.contains("filer2"), "\(unknown)")
        }

        @Test("the recipes of OPERATIONS, and Nagios's commands")
        func recipes() throws {
            let lab = try Lab.current
            try lab.furnish(.approved)
            try lab.furnish(.stranger)
            let printed = try lab.runs("operations probe", on: .approved, with: ["server=10.77.1.1"])
            #expect(printed.contains("nfs       3        tcp        2049   open"), "\(printed)")
            #expect(printed.contains("RPC OK: 4 of 4 services of 10.77.1.1 open | "), "\(printed)")
            let silent = try lab.runs("operations probe stranger", on: .stranger, with: ["server=10.77.4.1"])
            #expect(silent.split(separator: "\n").count == 9, "\(silent)")
            #expect(try lab.runs("operations probe cron", on: .approved, with: ["server=10.77.1.1"]).isEmpty)
            #expect(
                try lab.runs("operations probe cron", on: .stranger, with: ["server=10.77.4.1"])
                    .contains("rpcwarden: nobody answers at port 111 of 10.77.4.1"))

            let file = try String(contentsOfFile: "\(Contrib.folder)/nagios/rpcwarden.cfg", encoding: .utf8)
            let commands = file.matches(of: /command_line +(.+)/).map { String($0.1) }
            try #require(commands.count == 2)
            for (host, server, command) in [
                (Lab.Host.approved, "10.77.1.1", commands[0]), (.stranger, "10.77.4.1", commands[1]),
            ] {
                let line = command.replacing("$HOSTADDRESS$", with: server)
                let output = try lab.exec(host, "sh", "-c", line)
                #expect(output.isSuccess && output.text.hasPrefix("RPC OK: "), "\(output)")
            }
        }

        @Test("of a plain rpcbind tells what is registered, and asks a link-local address in its zone", .lab())
        func plainRpcbind() throws {
            let lab = try Lab.current
            let refused = try lab.probe(.approved, "10.77.1.1")
            #expect(
                refused.output.status == 3 && refused.rows[0].detail == "port 111: Connection refused",
                "\(refused.output)")
            try lab.control("rpcbind", "start", "--stock")
            let empty = try lab.probe(.approved, "10.77.1.1")
            #expect(empty.output.status == 1, "\(empty.output)")
            #expect(empty.rows.map(\.verdict) == Array(repeating: "unregistered", count: 4))
            let link = try lab.exec(
                .server, "ip", "-6", "-brief", "address", "show", "scope", "link", "to", "fe80::/64"
            ).text
            let addresses = link.split(whereSeparator: \.isWhitespace).filter { $0.hasPrefix("fe80:") }
            // One of them is on the approved client's link.
            let open = try addresses.filter { address in
                let zoned = "\(address.prefix { $0 != "/" })%eth0"
                return try ["tcp", "udp"].allSatisfy {
                    try lab.probe(.approved, zoned, "--program", "portmapper", "--transport", $0, "--timeout", "500ms")
                        .output.status == 0
                }
            }
            #expect(open.count == 1, "\(link)")
            // A registration without its service, as a killed one leaves it.
            #expect(try lab.peer(.server, "register --unix /run/rpcbind.sock --program 100005 --count 1").isSuccess)
            let stale = try lab.probe(.approved, "10.77.1.1", "--program", "mountd")
            #expect(
                stale.output.status == 1 && stale.rows[0].verdict == "shut" && stale.rows[0].port == 10_000,
                "\(stale.output)")
            #expect(stale.rows[0].detail == "Connection refused")
        }
    }
}

/// A row of `probe --json`. All keys are present; a value may be null.
private struct ProbeRow: Decodable {
    var program: UInt32
    var program_name: String?
    var version: UInt32
    var transport: String
    var address: String
    var port: UInt16?
    var verdict: String
    var detail: String?

    var service: String { "\(program_name ?? "\(program)")/\(transport)" }
}

extension Lab {
    fileprivate func probe(
        _ host: Host, _ server: String, _ words: String...
    ) throws -> (output: Output, rows: [ProbeRow]) {
        let output = try exec(host, [binary, "probe", server, "--json"] + words)
        guard !output.text.isEmpty else { return (output, []) }
        return (output, try JSONDecoder().decode([ProbeRow].self, from: Data(output.text.utf8)))
    }

    fileprivate func rpcwarden(_ command: String, _ words: [String]) throws -> Output {
        try exec(.server, [binary, command] + words + ["--config", configuration])
    }
}
