import Foundation
import Testing

extension LabTests {
    @Suite("What the log says of permitted calls")
    struct PermittedLogTests {
        private static func audit(_ lab: Lab, _ rest: String) -> String {
            "{to: file, file: \(lab.state)/audit.jsonl, \(rest)}"
        }

        @Test("once a day for each client and service, with this host's name; a reload changes both", .lab(.rpcbind))
        func first() async throws {
            let lab = try Lab.current
            try await lab.serve(audit: Self.audit(lab, "permitted: first, host: nfs1"), policy: Policies.echoes())
            let echo = Echo()
            try await lab.start(echo)
            for _ in 0..<3 { try lab.lookUp(echo) }
            try await lab.event(.permitted) { $0.client == "10.77.1.2" && $0.program == echo.program }
            try lab.write(
                "policy: policy.yaml\naudit: \(Self.audit(lab, "permitted: none, host: nfs2"))\n", to: "rpcwarden.yaml")
            let reload = try lab.rpcwarden("reload")
            #expect(reload.text == "settings changed: audit.permitted, audit.host\n", "\(reload)")
            try await lab.event(.reloaded)
            try lab.lookUp(echo)
            try lab.kill("daemon")
            try await lab.event(.stopped)
            let log = try String(contentsOfFile: "\(lab.state)/audit.jsonl", encoding: .utf8)
            let lines = log.split(separator: "\n").map(String.init)
            let lookups = lines.filter { $0.contains("\"permitted\"") && $0.contains("\"program\":\(echo.program)") }
            #expect(lookups.count == 1, "\(log)")
            #expect(lines.allSatisfy { $0.contains("\"host\":\"nfs1\"") || $0.contains("\"host\":\"nfs2\"") })
            #expect(lines.first?.contains("nfs1") == true && lines.last?.contains("nfs2") == true, "\(log)")
        }
    }
}
