import Addresses
import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite("A limited client, which may ask for one program", .lab(.rpcbind, .ganesha, .daemon))
    struct LimitedClientTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        private static let rquotad = Program(100_011)

        @Test("is denied what the rule doesn't name, and finds it shut", arguments: [Transport.udp, .tcp])
        func denied(transport: Transport) async throws {
            for program in [Program.mountd, .nfs, .nlockmgr] {
                let mapping = Mapping(program: program, version: 3, protocolNumber: 6, port: 0)
                let answer = try lab.ask(.limited, .getPort(mapping), to: "10.77.3.1", over: transport)
                #expect(answer.body == .authError(.failed))
                try await lab.event(.denied) {
                    $0.reason == "no-rule" && $0.client == "10.77.3.2" && $0.program == program.rawValue
                        && $0.decision == "denied" && $0.transport == "\(transport)"
                }
            }
            let mountd = try lab.port(of: 100_005, 3, "tcp")
            let outcome = try lab.peer(.limited, "connect --to 10.77.3.1 --port \(mountd) --over tcp --wait 400")
            #expect(outcome.lines == ["timeout"])
        }

        @Test("is denied lists over UDP, which would amplify", arguments: PortmapperVersion.allCases)
        func noListOverUDP(version: PortmapperVersion) async throws {
            let answer = try lab.ask(.limited, .dump(version), to: "10.77.3.1", over: .udp)
            #expect(answer.body == .authError(.failed))
            try await lab.event(.denied) {
                $0.reason == "udp-list" && $0.procedure == "dump" && $0.version == version.rawValue
            }
        }

        @Test("is shown its own program, and the portmapper at 111", arguments: ["10.77.3.1", "fd77:3::1"])
        func listShowsItsOwn(server: String) throws {
            let rquotad = try lab.port(of: 100_011, 2, "udp")
            for version in PortmapperVersion.allCases {
                let call = PortmapperCall.dump(version)
                let answer = try lab.ask(.limited, call, to: server, over: .tcp)
                switch answer.result(of: call) {
                case .mappings(let mappings):
                    #expect(version == .v2)
                    #expect(Set(mappings.map(\.program)) == [.portmapper, Self.rquotad])
                    for mapping in mappings where mapping.program == .portmapper { #expect(mapping.port == 111) }
                    #expect(mappings.contains { $0.port == rquotad && $0.protocolNumber == 17 })
                case .registrations(let registrations):
                    #expect(version != .v2)
                    #expect(Set(registrations.map(\.program)) == [.portmapper, Self.rquotad])
                    for own in registrations where own.program == .portmapper {
                        #expect(UniversalAddress(own.address)?.port == 111, "\(own)")
                    }
                case let other: Issue.record("\(version): \(String(describing: other)) \(answer)")
                }
            }
        }

        @Test(
            "finds no trace of rpcbind's own place in any reply, nor does anybody else",
            arguments: [(Lab.Host.limited, "10.77.3.1", "fd77:3::1"), (.approved, "10.77.1.1", "fd77:1::1")])
        func noTraceOfRpcbind(host: Lab.Host, ipv4: String, ipv6: String) throws {
            var asks: [Ask] = []
            for (server, isIPv6) in [(ipv4, false), (ipv6, true)] {
                for transport in [Transport.udp, .tcp] {
                    let netID = "\(transport)" + (isIPv6 ? "6" : "")
                    for program in [Program.portmapper, Self.rquotad] {
                        asks += PortmapperCall.all(about: program, netID: netID, at: "")
                            .map { Ask($0, to: server, over: transport) }
                    }
                }
            }
            // A client may have sixteen connections at once.
            var answers: [Answer] = []
            for start in stride(from: 0, to: asks.count, by: 14) {
                answers += try lab.ask(host, Array(asks[start..<min(start + 14, asks.count)]), options: "--wait 2000")
            }
            for (ask, answer) in zip(asks, answers) {
                // RFC 1833: a CALLIT or BCAST that can't be made gets no reply; over TCP every call gets one.
                let isSilent = ask.call.procedureNumber == 5 && ask.over == .udp
                #expect(answer.replies.isEmpty == isSilent, "\(ask.testDescription): \(answer)")
            }
            let traces =
                ["1111", ".4.87", "rpcbind.sock", "/run", "127.0.0.1"].map { Array($0.utf8) }
                // As an XDR number, whatever the surrounding bytes are.
                + [[0, 0, 4, 87]]
            for (ask, answer) in zip(asks, answers) {
                for reply in answer.replies {
                    // The xid is the test's own, and random.
                    let said = reply.dropFirst(4)
                    for trace in traces {
                        #expect(!said.contains(sequence: trace), "\(trace) in \(ask.testDescription): \(answer)")
                    }
                }
            }
        }

        @Test("reaches its own service after asking, and only that")
        func reachesItsOwn() throws {
            let output = try lab.exec(.limited, "rpcinfo", "-T", "udp", "10.77.3.1", "rquotad", "2", seconds: 5)
            #expect(output.isSuccess, "\(output)")
            let rquotad = try lab.port(of: 100_011, 2, "udp")
            let grants = try lab.grants().filter { $0.client == "10.77.3.2" }
            #expect(grants.contains { $0.service == "udp/\(rquotad)" && $0.packets > 0 })
            #expect(grants.allSatisfy { $0.program_name == "rquotad" }, "\(grants)")
        }

        @Test("sees the list through rpcinfo -p, and no list without `list: true`")
        func listsByTool() async throws {
            let output = try lab.exec(.limited, "rpcinfo", "-p", "10.77.3.1", seconds: 5)
            #expect(output.isSuccess && output.text.contains("100011") && !output.text.contains("100005"), "\(output)")

            let silent = Policies.standard.replacingOccurrences(of: "    list: true\n", with: "")
                .replacingOccurrences(of: "    list: true", with: "")
            try lab.configure(policy: silent)
            #expect(try lab.rpcwarden("reload").isSuccess)
            let answer = try lab.ask(.limited, .dump(.v2), to: "10.77.3.1", over: .tcp)
            #expect(answer.body == .authError(.failed))
            try await lab.event(.denied) { $0.reason == "no-list" && $0.client == "10.77.3.2" }
            try lab.configure(policy: Policies.standard)
            #expect(try lab.rpcwarden("reload").isSuccess)
        }
    }
}

extension Collection where Element: Equatable {
    func contains(sequence: [Element]) -> Bool {
        var rest = self[...]
        while rest.count >= sequence.count {
            if rest.starts(with: sequence) { return true }
            rest = rest.dropFirst()
        }
        return false
    }
}
