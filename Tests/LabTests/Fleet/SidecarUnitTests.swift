import Foundation
import Testing

extension LabTests {
    @Suite("rpcwarden-fleet's unit, on a machine with systemd")
    struct SidecarUnitTests {
        private static let store = "10.99.0.2"
        private static let endpoint = "https://\(store):2379"

        /// etcd and its certificates, outside; it ends with the machine.
        private func startStore(_ machine: Machine) async throws {
            let folder = machine.folder
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try FleetStore.makeCertificates(in: folder, for: [Self.store])
            try machine.spawnOutside(
                "etcd",
                """
                etcd --data-dir \(folder)/data --listen-client-urls \(Self.endpoint) \
                    --advertise-client-urls \(Self.endpoint) --cert-file \(folder)/server.pem \
                    --key-file \(folder)/server.key --listen-peer-urls http://127.0.0.1:2380 --log-level error &
                while [ -e \(folder)/ca.pem ]; do sleep 0.2; done
                kill $!
                """)
            try await eventually("etcd answers") { try etcdctl(machine, "endpoint health").isSuccess }
            for words in [
                "user add root:other", "user grant-role root root", "user add nas1:secret", "role add nas1",
                "role grant-permission nas1 --prefix=true readwrite /rpcwarden/v1/lab/", "user grant-role nas1 nas1",
                "auth enable",
            ] {
                let output = try etcdctl(machine, words)
                try #require(output.isSuccess, "\(words): \(output)")
            }
        }

        private func etcdctl(_ machine: Machine, _ words: String, as user: String? = nil) throws -> Output {
            try machine.outside(
                [
                    "env", "ETCDCTL_API=3", "etcdctl", "--endpoints", Self.endpoint, "--cacert",
                    "\(machine.folder)/ca.pem",
                ]
                    + (user.map { ["--user", $0] } ?? []) + words.split(separator: " ").map(String.init))
        }

        private static let files = """
            cat >/etc/rpcwarden/fleet.yaml <<'EOF'
            fleet: lab
            node: nas1
            etcd: {endpoints: ["\(endpoint)"], user: nas1}
            EOF
            cat >/etc/rpcwarden/rpcwarden.yaml <<'EOF'
            mode: enforce
            fleet: {pair: {name: nas}}
            EOF
            cat >/etc/rpcwarden/policy.d/start.yaml <<'EOF'
            rules: [{name: r, from: [10.99.0.2], to: [status]}]
            EOF
            (umask 077; echo secret >/etc/rpcwarden/fleet/password)
            mkdir -p /etc/systemd/system/rpcwarden-fleet.service.d
            printf '[Service]\\nLoadCredential=etcd-password:/etc/rpcwarden/fleet/password\\n' \
                >/etc/systemd/system/rpcwarden-fleet.service.d/password.conf
            systemctl daemon-reload
            """

        @Test("reaches daemon and etcd as a user without rights; after a restart of either, and after a boot, too")
        func unit() async throws {
            let machine = try Machine()
            defer { machine.stop() }
            try await startStore(machine)
            try machine.install(Lab.binaryPath)
            try machine.installSidecar(Lab.sidecarPath)
            try machine.shell("mkdir -p /etc/rpcwarden/fleet")
            try machine.put("\(machine.folder)/ca.pem", at: "/etc/rpcwarden/fleet/ca.pem")
            // Without fleet.yaml there is nothing to do.
            try machine.shell("systemctl enable --quiet --now rpcwarden-fleet.service")
            #expect(try machine.property("rpcwarden-fleet.service", "ActiveState") == "inactive")
            try machine.shell(
                """
                systemctl start rpc-statd.service
                rpcwarden setup
                \(Self.files)
                systemctl restart rpcwarden.service
                systemctl start rpcwarden-fleet.service
                """)
            try await expectInStep(machine)
            try expectFewRights(machine)
            #expect(try machine.outside("rpcinfo", "-T", "tcp", "10.99.0.1", "status", "1").isSuccess)
            try await eventually("the grant is told") {
                try etcdctl(
                    machine, "get --prefix --keys-only /rpcwarden/v1/lab/pairs/nas/grants/nas1/", as: "nas1:secret"
                )
                .text.contains("10.99.0.2!100024!tcp")
            }

            let first = try machine.property("rpcwarden-fleet.service", "MainPID")
            try machine.shell("systemctl restart rpcwarden.service")
            try await expectInStep(machine)
            #expect(try machine.property("rpcwarden-fleet.service", "MainPID") == first, "it outlives the daemon")
            try machine.shell("kill -KILL \(first)")
            try await eventually("its unit starts it anew") {
                let now = try machine.property("rpcwarden-fleet.service", "MainPID")
                return now != first && now != "0"
            }
            try await expectInStep(machine)
            try machine.reboot()
            try await expectInStep(machine)
            #expect(try machine.property("rpcwarden-fleet.service", "NRestarts") == "0")

            try machine.shell("echo 'nod: nas1' >>/etc/rpcwarden/fleet.yaml")
            #expect(try !machine.inside("systemctl", "restart", "rpcwarden-fleet.service").isSuccess)
            #expect(try machine.property("rpcwarden-fleet.service", "ActiveState") == "failed", "it isn't tried again")
            #expect(try machine.property("rpcwarden-fleet.service", "ExecMainStatus") == "2")
            #expect(try machine.inside("rpcwarden", "status").text.contains("other nodes don't hear of this one"))
        }

        private func expectInStep(_ machine: Machine) async throws {
            do {
                try await eventually("it is in step") {
                    try machine.inside("rpcwarden-fleet", "status", "--synced").isSuccess
                }
                try await eventually("the daemon knows") {
                    try machine.inside("rpcwarden", "status").text.contains(
                        "the fleet lab, as the node nas1, with the store since ")
                }
            } catch {
                let journal = try machine.inside(
                    "journalctl", "-o", "cat", "--no-pager", "-u", "rpcwarden.service", "-u", "rpcwarden-fleet.service")
                throw Unfulfilled(description: "\(error): \(journal)")
            }
            let status = try machine.shell("rpcwarden-fleet status")
            #expect(status.contains(/daemon +here\n/) && status.contains(/etcd +connected/), "\(status)")
            #expect(try machine.shell("rpcwarden-fleet nodes").contains(/nas1 .*enforce/))
        }

        /// The sidecar's user exists in its own user namespace alone, and the kernel tells the daemon which one it is.
        private func expectFewRights(_ machine: Machine) throws {
            let process = "/proc/\(try machine.property("rpcwarden-fleet.service", "MainPID"))"
            let state = try machine.shell("grep -E '^(Uid|Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' \(process)/status")
            let user = try machine.shell("id -u rpcwarden-fleet").trimmingCharacters(in: .whitespacesAndNewlines)
            let none = "0000000000000000"
            #expect(
                state == """
                    Uid:\t\(user)\t\(user)\t\(user)\t\(user)
                    CapPrm:\t\(none)
                    CapEff:\t\(none)
                    CapBnd:\t\(none)
                    CapAmb:\t\(none)
                    NoNewPrivs:\t1
                    Seccomp:\t2

                    """)
            #expect(try machine.shell("readlink \(process)/ns/user") != machine.shell("readlink /proc/1/ns/user"))
            #expect(
                try machine.shell("stat -c '%n %a %U:%G' /run/rpcwarden/*.sock /run/rpcwarden-fleet/*.sock") == """
                    /run/rpcwarden/control.sock 660 rpcwarden:rpcwarden
                    /run/rpcwarden/fleet.sock 660 rpcwarden:rpcwarden-fleet
                    /run/rpcwarden-fleet/control.sock 660 rpcwarden-fleet:rpcwarden-fleet

                    """)
            let sidecar = ["setpriv", "--reuid=rpcwarden-fleet", "--regid=rpcwarden-fleet", "--clear-groups"]
            let refused = try machine.inside(sidecar + ["rpcwarden", "status"])
            #expect(refused.status == 3 && refused.errors.contains("Permission denied"), "\(refused)")
            for (unit, most) in [("rpcwarden-fleet.service", 1.1), ("rpcwarden.service", 1.7)] {
                let text = try machine.shell("systemd-analyze --no-pager security \(unit)")
                let level = try #require(text.firstMatch(of: /Overall exposure level for \S+: ([0-9.]+)/))
                #expect(try #require(Double(level.1)) <= most, "\(unit)")
            }
            let verified = try machine.inside("systemd-analyze", "verify", "rpcwarden-fleet.service")
            // The unit's manual page is not installed here.
            #expect(verified.errors.split(separator: "\n").allSatisfy { $0.contains("'man ") }, "\(verified)")
        }
    }
}
