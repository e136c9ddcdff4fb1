import Addresses
import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite(
        "A stranger who asks a server behind this gateway",
        .gateway(
            .filerRpcbind, .filerGanesha, .daemon, settings: Filer.settings() + "\nquarantine: false"))
    struct StrangerAtServerTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        static let fromStrangers = "src net 10.77.4.0/24 or src net 10.79.0.0/16 or src net fd77:4::/64"

        @Test("gets no byte, and nothing that it sends reaches the server", arguments: Filer.addresses)
        func portmapper(server: String) async throws {
            let calls = PortmapperCall.all(at: "")
            let packets = try await lab.packets(at: .filer, Self.fromStrangers) {
                let asks = calls.map { Ask($0, to: server, over: .udp) }
                for (ask, answer) in zip(asks, try lab.ask(.stranger, asks, options: "--all --wait 300")) {
                    #expect(answer.isSilence, "\(ask.testDescription): \(answer)")
                }
                // The limit of sixteen connections would close the seventeenth for another reason.
                for call in calls {
                    let answer = try lab.ask(.stranger, call, to: server, over: .tcp, options: "--all --wait 2000")
                    #expect(answer.isClosedWithoutByte, "v\(call.version) \(call.procedureName): \(answer)")
                }
            }
            #expect(packets.isEmpty)
            let client = server.contains(":") ? "fd77:4::2" : "10.77.4.2"
            for transport in ["udp", "tcp"] {
                try await lab.event(.denied) {
                    $0.client == client && $0.transport == transport && $0.reason == "stranger"
                        && $0.server == "filer1"
                }
            }
        }

        @Test("finds the service ports shut, and nothing reaches the server there", arguments: Filer.addresses)
        func services(server: String) async throws {
            // Others having asked opens nothing to strangers.
            #expect(try lab.exec(.approved, "showmount", "-e", server).isSuccess)
            let packets = try await lab.packets(at: .filer, Self.fromStrangers) {
                for program in ["nfs", "mountd", "nlockmgr", "rquotad"] {
                    for transport in ["tcp", "udp"] {
                        let port = try lab.portAtFiler(of: program, server.contains(":") ? "\(transport)6" : transport)
                        let outcome = try lab.peer(
                            .stranger, "connect --to \(server) --port \(port) --over \(transport) --wait 300")
                        #expect(outcome.lines == [transport == "udp" ? "silence" : "timeout"], "\(program)")
                    }
                }
            }
            #expect(packets.isEmpty)
        }

        @Test("is left waiting by rpcinfo, showmount and nfs-ls")
        func realClientsFail() throws {
            let commands = [
                ["rpcinfo", "-p", "10.77.5.2"], ["rpcinfo", "-T", "udp", "10.77.5.2", "nfs", "3"],
                ["rpcinfo", "-T", "tcp6", "fd77:5::2", "nfs", "3"], ["showmount", "-e", "10.77.5.9"],
                ["nfs-ls", "nfs://10.77.5.2/export"], ["nfs-ls", "nfs://10.77.5.2/export?version=4"],
            ]
            for command in commands {
                let output = try lab.exec(.stranger, command, seconds: 1)
                #expect(!output.isSuccess, "\(command)")
                #expect(!output.text.contains("100005") && !output.text.contains("export"), "\(command): \(output)")
            }
        }

        @Test("reaches what no rpcbind registered, as before: a gateway forwards")
        func unguarded() async throws {
            try lab.spawnPeer(.filer, "free", "listen --at 0.0.0.0 --port 4444 --over tcp --echo")
            try await eventually("it listens") { lab.log("free").contains("listening") }
            let packets = try await lab.packets(at: .filer, Self.fromStrangers) {
                let outcome = try lab.peer(.stranger, "connect --to 10.77.5.2 --port 4444 --over tcp")
                #expect(outcome.lines == ["connected"])
            }
            #expect(!packets.isEmpty, "the capture does see strangers")
        }

        @Test("leaves no entry in the table of connections: two thousand datagrams from as many addresses")
        func untracked() async throws {
            let before = try denials()
            for port in 0..<4 {
                let output = try lab.peer(
                    .stranger,
                    "storm --to 10.77.5.2 --over udp --count 500 --program 100005 --version 3 --service udp"
                        + " --sources 10.79.\(port + 1).1/500 --parallel 32 --wait 20", seconds: 60)
                #expect(tally(output)["unanswered"] == 500, "\(output)")
            }
            try await eventually("they came to the daemon") { try denials() >= before + 2000 }
            let flows = try lab.trackedFlows()
            #expect(flows.filter { $0.contains("src=10.79.") } == [])
        }

        private func denials() throws -> Int { try lab.counts()["denied_stranger"] ?? 0 }
    }
}
