import Foundation
import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite("An approved client", .lab(.rpcbind, .ganesha, .statd, .daemon, settings: "limits: {calls-per-second: 500}"))
    struct ApprovedClientTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        @Test("finds every service port shut until it asks", .lab(.rpcbind, .ganesha, .daemon))
        func shutUntilAsked() throws {
            let lab = try Lab.current
            for (program, version) in [(100_003, 3), (100_005, 3)] as [(UInt32, UInt32)] {
                let port = try lab.port(of: program, version, "tcp")
                let outcome = try lab.peer(.approved, "connect --to 10.77.1.1 --port \(port) --over tcp --wait 400")
                #expect(outcome.lines == ["timeout"])
            }
            #expect(try lab.grants().isEmpty)
        }

        @Test("mounts, lists and reads over NFSv3 through grants alone", .lab(.rpcbind, .ganesha, .daemon))
        func readsOverNFSv3() async throws {
            let lab = try Lab.current
            let listing = try lab.exec(.approved, "nfs-ls", "nfs://10.77.1.1/export")
            #expect(listing.isSuccess && listing.text.contains("hello.txt"), "\(listing)")
            let hello = try lab.exec(.approved, "nfs-cat", "nfs://10.77.1.1/export/hello.txt")
            #expect(hello.text == "hello from rpcwarden\n", "\(hello)")
            let sum = try lab.exec(
                .approved, "sh", "-c", "nfs-cat nfs://10.77.1.1/export/data.bin | sha256sum | cut -d' ' -f1")
            let original = try lab.exec(.server, "sh", "-c", "sha256sum <\(lab.state)/export/data.bin | cut -d' ' -f1")
            #expect(sum.text == original.text && sum.text.count == 65, "\(sum)")

            let ports = Set([
                "tcp/\(try lab.port(of: 100_003, 3, "tcp"))", "tcp/\(try lab.port(of: 100_005, 3, "tcp"))",
            ])
            let grants = try lab.grants()
            #expect(Set(grants.map(\.service)) == ports, "nfs and mountd over TCP, and nothing else")
            #expect(grants.allSatisfy { $0.client == "10.77.1.2" && $0.packets > 0 })
            #expect(Set(grants.map(\.program_name)) == ["nfs", "mountd"])
            #expect(grants.allSatisfy { $0.rule?.contains("approved clients mount") == true })
            #expect(try lab.events(.denied).isEmpty)
            for port in ports { try await lab.event(.granted) { $0.client == "10.77.1.2" && $0.granted == port } }
            try await lab.event(.permitted) { $0.procedure == "getport" && $0.rule?.contains("policy.yaml:") == true }
        }

        @Test("shows its grants with the keys of the contract, as the kernel's elements do with a comment")
        func grantsAndElements() throws {
            _ = try lab.exec(.approved, "showmount", "-e", "10.77.1.1")
            let output = try lab.rpcwarden("grants", "--json")
            let rows = try #require(try JSONSerialization.jsonObject(with: Data(output.text.utf8)) as? [[String: Any]])
            let keys: Set = [
                "client", "transport", "port", "program", "program_name", "rule", "issued", "expires", "packets",
            ]
            #expect(!rows.isEmpty && rows.allSatisfy { Set($0.keys) == keys }, "\(output)")

            let port = try lab.port(of: 100_005, 3, "tcp")
            let elements = try lab.elements(of: "granted4").filter { $0.hasPrefix("10.77.1.2 . tcp . \(port) ") }
            let element = try #require(elements.first)
            #expect(element.contains("comment \"") && element.contains("expires 23h59m") && element.contains("counter"))
            #expect(element.contains("approved clients mount"), "\(element)")
            #expect(try lab.rpcwarden("grants").text.contains("tcp/\(port)"))
        }

        @Test(
            "is served by the usual tools",
            arguments: [
                (["showmount", "-e", "10.77.1.1"], "/export"),
                (["showmount", "-e", "fd77:1::1"], "/export"),
                (["rpcinfo", "-p", "10.77.1.1"], "100005"),
                (["rpcinfo", "-s", "10.77.1.1"], "mountd"),
                (["rpcinfo", "10.77.1.1"], "nlockmgr"),
                (["rpcinfo", "fd77:1::1"], "nlockmgr"),
                (["rpcinfo", "-T", "udp", "10.77.1.1", "nfs", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "tcp", "10.77.1.1", "nfs", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "udp6", "fd77:1::1", "nfs", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "tcp6", "fd77:1::1", "nfs", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "tcp", "10.77.1.1", "mountd", "3"], "ready and waiting"),
                (["rpcinfo", "-T", "udp", "10.77.1.1", "status"], "ready and waiting"),
                (["rpcinfo", "-l", "10.77.1.1", "nfs", "3"], "10.77.1.1.8.1"),
                (["rpcinfo", "-l", "10.77.1.1", "portmapper", "4"], "10.77.1.1.0.111"),
                (["nfs-ls", "nfs://10.77.1.1/export"], "data.bin"),
            ] as [([String], String)])
        func tools(command: [String], expected: String) throws {
            let output = try lab.exec(.approved, command, seconds: 10)
            #expect(output.isSuccess && output.text.contains(expected), "\(command): \(output)")
        }

        @Test("is told an unregistered program as rpcbind tells it")
        func unregistered() throws {
            // quota is permitted, but only its versions 1 and 2 are registered: the fallback is rpcbind's own.
            let status = try lab.exec(.approved, "rpcinfo", "-T", "tcp", "10.77.1.1", "100011", "9", seconds: 5)
            #expect(!status.isSuccess && !status.isTimedOut, "\(status)")
            try lab.control("statd", "stop")
            let mapping = Mapping(program: .status, version: 1, protocolNumber: 6, port: 0)
            // statd unregisters at an orderly end; after another end, its ports have no listener.
            let answer = try lab.ask(.approved, .getPort(mapping), over: .udp)
            #expect(answer.result(of: .getPort(mapping)) == .port(0) || answer.body == .authError(.failed), "\(answer)")
            try lab.control("statd", "start")
        }

        @Test("gets the RPC errors of the standard for what is no portmapper call")
        func errorsOfTheStandard() throws {
            let errors: [(String, String)] = [
                ("raw 100000 104316 0", "program-mismatch 2 4"), ("raw 100000 5 3", "program-mismatch 2 4"),
                ("raw 100003 3 0", "program-unavailable"), ("raw 100000 2 99", "procedure-unavailable"),
                ("raw 100000 4 3", "garbage-arguments"),
            ]
            for (call, expected) in errors {
                for transport in ["udp", "tcp"] {
                    let output = try lab.peer(.approved, "call --to 10.77.1.1 --over \(transport) \(call)")
                    #expect(output.text.contains(expected), "\(call): \(output)")
                }
            }
        }

        @Test("is denied what is not served: GETSTAT, GETTIME, address conversion")
        func notServed() async throws {
            for call in ["v4 getstat", "v4 gettime", "v3 uaddr2taddr", "v4 taddr2uaddr"] {
                let output = try lab.peer(.approved, "call --to 10.77.1.1 --over tcp \(call)")
                #expect(output.text.contains("auth-error failed"), "\(call): \(output)")
                let name = call.split(separator: " ")[1]
                try await lab.event(.denied) { $0.reason == "not-served" && $0.procedure ?? "" == name }
            }
        }

        @Test("has statd trusted by default, which registers as a user of its own")
        func statdIsTrusted() async throws {
            let owner = try lab.exec(.server, "id", "-u", "statd").text.trimmingCharacters(in: .whitespacesAndNewlines)
            // The registry is a snapshot, and statd may have restarted just now.
            try await eventually("statd's four registrations are guarded") {
                let rows = try lab.registry().filter { $0.program == 100_024 && $0.netid != "local" }
                return rows.count == 4 && rows.allSatisfy { $0.owner == owner && $0.trusted && $0.alive && $0.guarded }
            }
            #expect(try lab.events(.untrustedRegistration).isEmpty)
        }
    }
}
