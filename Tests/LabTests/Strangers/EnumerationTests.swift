import Foundation
import Portmapper
import Testing

extension LabTests {
    @Suite("Enumeration")
    struct EnumerationTests {
        /// A command of the stranger, and the tool that its `enumeration` event names.
        static let tools: [(command: String, tool: String)] = [
            ("rpcinfo -p 10.77.4.1", "rpcinfo"),
            ("rpcinfo -s 10.77.4.1", "rpcinfo"),
            ("rpcinfo -m 10.77.4.1", "rpcinfo"),
            ("showmount -e 10.77.4.1", "showmount"),
            ("nmap -n -Pn -sT -sV --version-light -p 111 10.77.4.1", "nmap's version scan"),
            ("nmap -n -Pn -sU -p 111 10.77.4.1", "nmap's version scan"),
            ("nmap -n -Pn -sT -p 111 --script rpcinfo 10.77.4.1", "nmap's rpcinfo script, or the like"),
        ]

        @Test(
            "by the real tools is one event, which names the tool", .lab(.rpcbind, .ganesha, .daemon), arguments: tools)
        func tool(command: String, tool: String) async throws {
            let lab = try Lab.current
            // Some of the tools wait up to a minute without an answer.
            try lab.spawn(.stranger, "tool", command.split(separator: " ").map(String.init))
            let event = try await lab.event(.enumeration) { $0.client == "10.77.4.2" }
            #expect(
                event.detail?.contains("looks like \(tool)") == true, "\(event.detail ?? "")"
            )
            #expect(try lab.events(.enumeration).count == 1)
        }

        @Test("a stranger's mount isn't one", .lab(.rpcbind, .ganesha, .daemon))
        func mount() async throws {
            let lab = try Lab.current
            _ = try lab.exec(.stranger, "nfs-ls", "nfs://10.77.4.1/export?version=3", seconds: 4)
            try await lab.event(.denied) { $0.client == "10.77.4.2" }
            try await Task.sleep(for: .seconds(3.5))
            #expect(try lab.events(.enumeration).isEmpty)
        }

        @Test("metasploit's three packets and a survey's one are told apart", .lab(.rpcbind, .daemon))
        func packets() async throws {
            let lab = try Lab.current
            for call in [PortmapperCall.dump(.v3), .dump(.v2), .getStatistics] {
                _ = try lab.ask(.stranger, call, to: "10.77.4.1", over: .udp, options: "--from 10.79.0.1 --wait 50")
            }
            _ = try lab.peer(
                .stranger,
                "call --to 10.77.4.1 --over udp --from 10.79.0.2 --wait 50 --hex \(hex(PortmapperCall.dump(.v2).encoded(xid: 1)))"
            )
            try await lab.event(.enumeration) {
                $0.client == "10.79.0.1" && $0.detail?.contains("metasploit") == true
            }
            try await lab.event(.enumeration) {
                $0.client == "10.79.0.2" && $0.detail?.contains("survey") == true
            }
        }
    }
}
