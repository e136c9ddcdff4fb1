import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite("A stranger, whom no rule names", .lab(.rpcbind, .ganesha, .daemon, settings: "quarantine: false"))
    struct StrangerTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        @Test("hears nothing over UDP, whatever the version and procedure", arguments: ["10.77.4.1", "fd77:4::1"])
        func silenceOverUDP(server: String) async throws {
            let asks = PortmapperCall.all(at: "").map { Ask($0, to: server, over: .udp) }
            // Any packet from the server counts, to any receiver.
            try await countingPacketsFromServer { packets in
                let answers = try lab.ask(.stranger, asks, options: "--all --wait 300")
                for (ask, answer) in zip(asks, answers) {
                    #expect(answer.isSilence, "\(ask.testDescription): \(answer)")
                }
                #expect(try packets() == 0)
            }
            for ask in asks {
                try await lab.event(.denied) { denial in
                    denial.client == (server == "10.77.4.1" ? "10.77.4.2" : "fd77:4::2") && denial.transport == "udp"
                        && denial.procedure == ask.call.procedureName.rawValue
                        && (ask.call.subject == nil || denial.program == ask.call.subject?.program.rawValue)
                        && denial.reason == Self.reason(for: ask.call) && denial.port != nil && denial.xid != nil
                }
            }
        }

        @Test("is closed on without a byte over TCP", arguments: ["10.77.4.1", "fd77:4::1"])
        func closedOverTCP(server: String) async throws {
            // The limit of sixteen connections would close the seventeenth for another reason.
            for call in PortmapperCall.all(at: "") {
                let answer = try lab.ask(.stranger, call, to: server, over: .tcp, options: "--all --wait 2000")
                #expect(answer.isClosedWithoutByte, "v\(call.version) \(call.procedureName): \(answer)")
            }
            try await lab.event(.denied) { $0.transport == "tcp" && $0.reason == "stranger" && $0.program == 100_005 }
        }

        @Test("hears nothing of malformed messages either")
        func silenceOnMalformed() throws {
            let null = PortmapperCall.null(.v4).encoded(xid: 7)
            var wrongRPC = null
            wrongRPC[11] = 3
            var wrongVersion = null
            wrongVersion[19] = 99
            for message in [[], [0], Array(null.dropLast(4)), wrongRPC, wrongVersion, null + [0, 0, 0, 0]] {
                let words =
                    "call --to 10.77.4.1 --over udp --show --all --wait 200 --hex \(message.isEmpty ? "00" : hex(message))"
                #expect(Answer(try lab.peer(.stranger, words)).isSilence)
                let stream = "stream --to 10.77.4.1 --wait 300 --hex \(hex(record(message)))"
                #expect(try lab.peer(.stranger, stream).text.contains("bytes=0"))
            }
        }

        @Test(
            "finds the service ports shut",
            arguments: [("nfs", 100_003), ("mountd", 100_005), ("nlockmgr", 100_021), ("rquotad", 100_011)])
        func servicePortsTimeOut(name: String, program: UInt32) throws {
            let version: UInt32 = program == 100_021 ? 4 : program == 100_011 ? 2 : 3
            for (netID, server) in [("tcp", "10.77.4.1"), ("udp", "10.77.4.1"), ("tcp6", "fd77:4::1")] {
                let port = try lab.port(of: program, version, netID)
                let over = netID.hasPrefix("udp") ? "udp" : "tcp"
                let words = "connect --to \(server) --port \(port) --over \(over)"
                let other = "--program \(program) --version \(version) --wait 400"
                let outcome = try lab.peer(.stranger, "\(words) \(other)")
                #expect(outcome.lines == [over == "udp" ? "silence" : "timeout"])
                let local = server == "10.77.4.1" ? "127.0.0.1" : "::1"
                let alive = try lab.peer(
                    .server, "connect --to \(local) --port \(port) --over \(over) \(other)")
                #expect(alive.isSuccess, "\(name) itself must answer on the server: \(alive)")
            }
        }

        @Test("is left waiting by rpcinfo, showmount and nfs-ls")
        func realClientsFail() throws {
            let commands = [
                ["rpcinfo", "-p", "10.77.4.1"], ["rpcinfo", "-s", "10.77.4.1"],
                ["rpcinfo", "-T", "udp", "10.77.4.1", "nfs", "3"], ["rpcinfo", "-T", "tcp6", "fd77:4::1", "nfs", "3"],
                ["showmount", "-e", "10.77.4.1"], ["nfs-ls", "nfs://10.77.4.1/export"],
                ["nfs-ls", "nfs://10.77.4.1/export?version=4"],
            ]
            for command in commands {
                let output = try lab.exec(.stranger, command, seconds: 1)
                #expect(!output.isSuccess, "\(command)")
                #expect(!output.text.contains("100005") && !output.text.contains("export"), "\(command): \(output)")
            }
        }

        @Test(
            "hears AUTH_ERROR only where the configuration says so",
            .lab(.rpcbind, .daemon, settings: "denial: {strangers: auth-error}"))
        func authErrorOnRequest() throws {
            let answer = try Lab.current.ask(.stranger, .null(.v4), to: "10.77.4.1", over: .udp)
            #expect(answer.body == .authError(.failed))
        }

        private static func reason(for call: PortmapperCall) -> String {
            switch call {
            case .set, .unset, .setMapping, .unsetMapping: "remote-registration"
            case .callIt, .broadcast, .indirect: "remote-call"
            case .null, .getPort, .getAddress, .getVersionAddress, .getAddressList, .dump, .getTime,
                .universalToTransportAddress, .transportToUniversalAddress, .getStatistics:
                "stranger"
            }
        }

        /// Counts the UDP and ICMP packets that reach the stranger's namespace meanwhile.
        private func countingPacketsFromServer(_ body: (() throws -> Int) async throws -> Void) async throws {
            let table = """
                table inet seen {
                  chain input {
                    type filter hook input priority 0;
                    iif "lo" accept
                    meta l4proto { udp, icmp } counter
                    icmpv6 type destination-unreachable counter
                  }
                }
                """
            try lab.write(table, to: "seen.nft")
            #expect(try lab.exec(.stranger, "nft", "-f", "\(lab.state)/seen.nft").isSuccess)
            try await body {
                try lab.exec(.stranger, "nft", "list", "table", "inet", "seen").text
                    .matches(of: /packets (\d+)/).reduce(0) { $0 + (Int($1.1) ?? 0) }
            }
            #expect(try lab.exec(.stranger, "nft", "delete", "table", "inet", "seen").isSuccess)
        }
    }
}
