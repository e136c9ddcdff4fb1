import Foundation
import Testing

private let journald = "/lib/systemd/systemd-journald"
private let isJournaldInstalled =
    FileManager.default.isExecutableFile(atPath: journald) && Contrib.isInstalled("journalctl")

extension LabTests {
    /// systemd's own journald, in the server alone; it runs without systemd.
    @Suite("The real journal", .lab(.rpcbind), .enabled(if: isJournaldInstalled, "needs systemd-journald"))
    struct JournalTests {
        @Test("is searched by our fields and message ids, tells in plain words, and explains by the catalog")
        func search() async throws {
            let lab = try Lab.current
            try await lab.startJournald()
            try await lab.serve(audit: "{to: journal}", policy: Policies.standard)
            let echo = Echo(program: 100_005)
            try await lab.start(echo)
            _ = try lab.lookUp(echo)
            _ = try lab.ask(.limited, echo.getPort, to: "10.77.3.1", over: .tcp)
            _ = try lab.ask(.stranger, echo.getPort, to: "10.77.4.1", over: .tcp)
            try await eventually("the stranger is in the journal") {
                try lab.journal("RPCWARDEN_CLIENT=10.77.4.2").lines != []
            }
            let denied = try lab.journal("RPCWARDEN_EVENT=denied", "RPCWARDEN_CLIENT=10.77.3.2", "--output=cat")
            #expect(denied.lines == ["denied 10.77.3.2: getport of mountd v1 over tcp (no-rule)"], "\(denied)")
            let granted = try lab.journal("RPCWARDEN_GRANTED=tcp/4001", "--output=cat")
            #expect(granted.text.hasPrefix("opened tcp/4001 to 10.77.1.2 for mountd, by "), "\(granted)")
            let explained = try lab.journal("RPCWARDEN_REASON=no-rule", "--catalog").lines
            #expect(explained.contains { $0.hasSuffix("Subject: A portmapper call of 10.77.3.2 was denied") })
            #expect(explained.contains { $0.contains("`rpcwarden explain --client 10.77.3.2 --program 100005`") })
            let id = try lab.journal("RPCWARDEN_EVENT=denied", "--output=cat", "--output-fields=MESSAGE_ID").lines[0]
            #expect(try lab.journal("MESSAGE_ID=\(id)").lines.count == 2, "two denials, and nothing else")
        }
    }
}

extension Lab {
    fileprivate func journal(_ words: String...) throws -> Output {
        try exec(.server, ["journalctl", "--quiet", "--no-pager", "--directory=/run/log/journal"] + words)
    }

    /// Mounts rpcwarden's catalog in place of the host's catalogs, in the server's mount namespace.
    fileprivate func startJournald() async throws {
        let catalog = URL(fileURLWithPath: Contrib.folder).deletingLastPathComponent()
            .appendingPathComponent("systemd/rpcwarden.catalog").path
        let script = """
            set -e
            mkdir -p /run/log/journal /run/systemd/journald.conf.d
            printf '[Journal]\\nStorage=volatile\\nAudit=\\nReadKMsg=no\\nForwardToWall=no\\n' \
                >/run/systemd/journald.conf.d/lab.conf
            # It asks which control group is the root, which not every container tells.
            [ -f /sys/fs/cgroup/cgroup.controllers ] || mount -n -t cgroup2 lab-cgroup /sys/fs/cgroup
            mount -n -t tmpfs lab-catalog /usr/lib/systemd/catalog
            mount -n -t tmpfs lab-catalog /var/lib/systemd/catalog
            cp \(catalog) /usr/lib/systemd/catalog/
            journalctl --update-catalog
            """
        let output = try exec(.server, "sh", "-c", script)
        guard output.isSuccess else { throw CommandError(command: ["sh", "-c", script], output: output) }
        try spawn(.server, "journald", ["env", "SYSTEMD_LOG_TARGET=console", journald])
        try await eventually("the journal's socket is there") {
            try exec(.server, "test", "-S", "/run/systemd/journal/socket").isSuccess
        }
    }
}
