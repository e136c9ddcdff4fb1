import Addresses
import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite(
        "A client of a server behind this gateway",
        .gateway(
            .filerRpcbind, .filerGanesha, .filerStatd, .daemon,
            settings: Filer.settings() + "\nlimits: {calls-per-second: 500}"))
    struct ServedClientTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        @Test(
            "is served by the usual tools, over both families and transports",
            arguments: [
                (["showmount", "-e", "10.77.5.2"], "/export"),
                (["showmount", "-e", "fd77:5::2"], "/export"),
                (["showmount", "-e", "10.77.5.9"], "/export"),
                (["rpcinfo", "-p", "10.77.5.2"], "100005"),
                (["rpcinfo", "-s", "10.77.5.2"], "mountd"),
                (["rpcinfo", "10.77.5.9"], "nlockmgr"),
                (["rpcinfo", "fd77:5::2"], "nlockmgr"),
                (["rpcinfo", "-T", "udp", "10.77.5.2", "nfs", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "tcp", "10.77.5.2", "nfs", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "udp6", "fd77:5::2", "nfs", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "tcp6", "fd77:5::2", "nfs", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "tcp", "10.77.5.2", "mountd", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "udp6", "fd77:5::2", "mountd", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "tcp6", "fd77:5::9", "mountd", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "udp", "10.77.5.2", "status"], "ready and waiting"),
                (["rpcinfo", "-l", "10.77.5.2", "nfs", "3"], "10.77.5.2.8.1"),
                (["rpcinfo", "-l", "10.77.5.9", "portmapper", "4"], "10.77.5.9.0.111"),
                (["nfs-ls", "nfs://10.77.5.2/export"], "data.bin"),
            ] as [([String], String)])
        func tools(command: [String], expected: String) async throws {
            let before = try permitted()
            let output = try lab.exec(.approved, command, seconds: 10)
            #expect(output.isSuccess && output.text.contains(expected), "\(command): \(output)")
            try await eventually("the daemon has permitted it") { try permitted() > before }
        }

        private func permitted() throws -> Int { try lab.events(.permitted).count { $0.server == "filer1" } }

        @Test(
            "mounts, lists and reads over NFSv3 through grants at the address that it asked, and no others",
            .gateway(.filerRpcbind, .filerGanesha, .daemon), arguments: ["10.77.5.2", "10.77.5.9"])
        func readsOverNFSv3(server: String) async throws {
            let lab = try Lab.current
            let listing = try lab.exec(.approved, "nfs-ls", "nfs://\(server)/export")
            #expect(listing.isSuccess && listing.text.contains("hello.txt"), "\(listing)")
            let sum = try lab.exec(
                .approved, "sh", "-c", "nfs-cat nfs://\(server)/export/data.bin | sha256sum | cut -d' ' -f1")
            let original = try lab.exec(
                .filer, "sh", "-c", "sha256sum <\(lab.state)/filer-export/data.bin | cut -d' ' -f1")
            #expect(sum.text == original.text && sum.text.count == 65, "\(sum)")

            let grants = try lab.kernelGrants(atFiler: "granted_at4")
            let ports = try ["nfs", "mountd"].map { try lab.portAtFiler(of: $0, "tcp") }
            #expect(grants == Set(ports.map { "10.77.1.2 \(server) tcp/\($0)" }))
            #expect(try lab.elements(of: "granted4").isEmpty, "nothing of the gateway itself is opened")
            #expect(try lab.events(.denied).isEmpty)
            for port in ports {
                try await lab.event(.granted) {
                    $0.client == "10.77.1.2" && $0.granted == "tcp/\(port)" && $0.server == "filer1"
                }
            }
            try await lab.event(.permitted) { $0.procedure == "getport" && $0.server == "filer1" }
        }

        @Test(
            "is answered from the address that it asked", arguments: Filer.addresses, [Transport.udp, .tcp])
        func source(server: String, over: Transport) throws {
            let answer = try lab.ask(.approved, .null(.v4), to: server, over: over)
            #expect(answer.body == .success([]), "\(answer)")
            // A TCP connection has but one peer.
            if over == .udp { #expect(answer.sources.map { $0.contains(server) } == [true], "\(answer)") }
        }

        @Test("finds every service port shut until it asks", .gateway(.filerRpcbind, .filerGanesha, .daemon))
        func shutUntilAsked() throws {
            let lab = try Lab.current
            for program in ["nfs", "mountd", "nlockmgr"] {
                for transport in ["tcp", "udp"] {
                    let port = try lab.portAtFiler(of: program, transport)
                    let outcome = try lab.peer(
                        .approved, "connect --to 10.77.5.2 --port \(port) --over \(transport) --wait 400")
                    #expect(outcome.lines == [transport == "udp" ? "silence" : "timeout"], "\(program)")
                }
            }
            #expect(try lab.elements(of: "granted_at4").isEmpty)
        }

        @Test("reaches what it looked up, and at that address alone", .gateway(.filerRpcbind, .filerGanesha, .daemon))
        func reachesWhatItLookedUp() throws {
            let lab = try Lab.current
            #expect(try lab.exec(.approved, "showmount", "-e", "10.77.5.2").isSuccess)
            let port = try lab.portAtFiler(of: "mountd", "tcp")
            func outcome(_ server: String, _ port: UInt16, from source: String = "10.77.1.2") throws -> [String] {
                try lab.peer(
                    .approved, "connect --to \(server) --port \(port) --over tcp --from \(source) --wait 400"
                ).lines
            }
            #expect(try outcome("10.77.5.2", port) == ["connected"])
            #expect(try outcome("10.77.5.9", port) == ["timeout"], "the filer's other address")
            #expect(try outcome("10.77.5.2", port, from: "10.77.1.3") == ["timeout"], "another client's")
            #expect(try outcome("10.77.5.2", lab.portAtFiler(of: "nfs", "tcp")) == ["timeout"], "another service")
        }

        @Test("sees what its rule permits, and is denied the rest", .gateway(.filerRpcbind, .filerGanesha, .daemon))
        func limited() async throws {
            let lab = try Lab.current
            let listing = try lab.exec(.limited, "rpcinfo", "-p", "10.77.5.2", seconds: 10)
            #expect(listing.isSuccess && listing.text.contains("100011"), "\(listing)")
            #expect(!listing.text.contains("100005") && !listing.text.contains("100003"), "\(listing)")
            let mapping = Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 0)
            let answer = try lab.ask(.limited, .getPort(mapping), to: "10.77.5.2", over: .udp)
            #expect(answer.body == .authError(.failed), "\(answer)")
            try await lab.event(.denied) {
                $0.client == "10.77.3.2" && $0.reason == "no-rule" && $0.server == "filer1"
            }
        }

        @Test("is denied this host's services: the rule is about the server alone")
        func notOfTheGateway() async throws {
            let mapping = Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 0)
            for call in [PortmapperCall.getPort(mapping), .dump(.v2)] {
                let answer = try lab.ask(.approved, call, to: "10.77.1.1", over: .tcp)
                #expect(answer.body == .authError(.failed), "\(answer)")
            }
            try await lab.event(.denied) { $0.client == "10.77.1.2" && $0.reason == "no-rule" && $0.server == nil }
        }

        @Test("leaves no entry for port 111 in the gateway's table of connections", arguments: [true, false])
        func untracked(isIPv4: Bool) throws {
            let server = isIPv4 ? "10.77.5.2" : "fd77:5::2"
            for _ in 0..<3 {
                for over in [Transport.udp, .tcp] {
                    #expect(try lab.ask(.approved, .dump(.v4), to: server, over: over).replies.count == 1)
                }
            }
            let flows = try lab.trackedFlows().filter { $0.contains("dst=\(server) ") && $0.contains("dport=111 ") }
            // The gateway itself asks the filer's portmapper.
            #expect(flows.allSatisfy { $0.contains("src=10.77.5.1 ") }, "\(flows)")
            #expect(!isIPv4 || !flows.isEmpty, "it does list them")
        }
    }
}
