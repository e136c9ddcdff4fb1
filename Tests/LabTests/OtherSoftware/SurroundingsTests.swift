import Foundation
import Portmapper
import Testing

extension LabTests {
    @Suite("The host around the daemon")
    struct SurroundingsTests {
        @Test("host names of the policy are resolved as the host does", .lab(.rpcbind))
        func hostNames() async throws {
            let lab = try Lab.current
            try lab.write("127.0.0.1 localhost\n10.77.1.2 ws1.lab.example\n", to: "hosts")
            #expect(try lab.exec(.server, ["mount", "--bind", "\(lab.state)/hosts", "/etc/hosts"]).isSuccess)
            try await lab.serve(policy: "rules: [{name: r, from: [ws1.lab.example], to: [mountd]}]")
            #expect(try lab.ask(.stranger, .null(.v2), to: "10.77.4.1", over: .tcp).replies.isEmpty)
            #expect(try lab.ask(.approved, .null(.v2), to: "10.77.1.1", over: .tcp).body == .success([]))
        }

        private static let journald = "/lib/systemd/systemd-journald"

        @Test(
            "events reach the real journal, a field for each key", .lab(.rpcbind),
            .enabled(if: FileManager.default.isExecutableFile(atPath: journald), "needs systemd-journald"))
        func journal() async throws {
            let lab = try Lab.current
            // journald needs its cgroup; both mounts are in the server's mount namespace.
            let prepare = "mount -t cgroup2 none /sys/fs/cgroup; mkdir -p /run/log/journal /run/systemd/journal"
            #expect(try lab.exec(.server, ["sh", "-c", prepare]).isSuccess)
            try lab.spawn(.server, "journald", [Self.journald])
            try await eventually("journald listens") {
                try lab.exec(.server, ["test", "-S", "/run/systemd/journal/socket"]).isSuccess
            }
            try lab.configure(policy: Policies.standard)
            try lab.write("policy: policy.yaml\n", to: "rpcwarden.yaml")
            try lab.spawn(.server, "daemon", [lab.binary, "serve", "--config", lab.configuration])
            try await eventually("ready") {
                try lab.journal("RPCWARDEN_EVENT=started").contains("rpcwarden")
            }
            let lookup = PortmapperCall.getPort(Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 0))
            _ = try lab.ask(.stranger, lookup, to: "10.77.4.1", over: .udp, options: "--wait 100")
            try await eventually("the denial is in the journal") {
                try lab.journal("RPCWARDEN_EVENT=denied", "RPCWARDEN_REASON=stranger", "RPCWARDEN_CLIENT=10.77.4.2")
                    .contains("getport of mountd")
            }
        }
    }
}

extension Lab {
    fileprivate func journal(_ matches: String...) throws -> String {
        try exec(.server, ["journalctl", "--no-pager", "--quiet"] + matches).text
    }
}
