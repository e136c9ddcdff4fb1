import Foundation
import Testing

extension LabTests {
    @Suite("The sidecar's user")
    struct SidecarUserTests {
        private static let user = ["setpriv", "--reuid", "64990", "--regid", "64990", "--clear-groups"]

        @Test("can't use the daemon's control socket, nor write what the daemon reads as policy", .lab())
        func user() async throws {
            let lab = try Lab.current
            try lab.furnish()
            try lab.setUp()
            let files = [
                "/etc/rpcwarden/rpcwarden.yaml": """
                audit: {to: file, file: \(lab.state)/audit.jsonl}
                fleet:
                  pair: {name: nas}
                  policy: {group: nfs, ceiling: /etc/rpcwarden/ceiling.yaml}

                """,
                "/etc/rpcwarden/ceiling.yaml": "rules: [{name: a, from: [10.77.0.0/16], to: [nfs]}]\n",
                "/etc/rpcwarden/policy.d/own.yaml": "rules: []\n",
                "/etc/rpcwarden/fleet.yaml": "etcd: {endpoints: [\"https://10.77.8.2:2379\"]}\n",
            ]
            for (path, text) in files { try lab.install(text, at: path) }
            try lab.shell("rm /etc/rpcwarden/policy.d/start.yaml")
            let key = try lab.exec(.server, "minisign", "-G", "-W", "-p", "/etc/rpcwarden/k", "-s", "/etc/rpcwarden/s")
            #expect(key.isSuccess, "\(key)")
            try lab.shell("install -D -m 644 /etc/rpcwarden/k /etc/rpcwarden/fleet/policy.pub")
            try lab.systemctl("restart rpcwarden")
            #expect(try lab.exec(.server, "rpcwarden", "status").isSuccess)

            for command in ["status", "grants", "reload"] {
                let output = try lab.exec(.server, Self.user + ["rpcwarden", command])
                #expect(output.status == 3 && output.errors.contains("Permission denied"), "\(output)")
            }
            let paths = files.keys + ["/etc/rpcwarden/fleet/policy.pub", "/run/rpcwarden/control.sock"]
            for path in paths {
                for write in ["echo >>\(path)", "mv \(path) \(path).old", "rm -f \(path)"] {
                    let output = try lab.exec(.server, Self.user + ["sh", "-c", write])
                    #expect(!output.isSuccess, "\(write)")
                }
            }
            for folder in ["/etc/rpcwarden", "/etc/rpcwarden/policy.d", "/etc/rpcwarden/fleet", "/run/rpcwarden"] {
                let output = try lab.exec(.server, Self.user + ["touch", "\(folder)/new.yaml"])
                #expect(output.errors.contains("Permission denied"), "\(folder): \(output)")
            }
            // What it may write, and the daemon reads, needs a signature.
            let forged = try lab.exec(
                .server, Self.user + ["sh", "-c", "echo 'rules: []' >\(FleetNode.fetched)/nfs.bundle"])
            #expect(forged.isSuccess, "\(forged)")
            #expect(try lab.exec(.server, "rpcwarden", "reload").status == 2)
            try await lab.event(.policyRefused)
            // Root may use all of it, and the group the fleet's socket.
            #expect(try lab.exec(.server, Self.user + ["test", "-w", "/run/rpcwarden/fleet.sock"]).isSuccess)
        }
    }
}
