import Foundation
import Testing

extension LabTests {
    @Suite("A boot, on a machine with systemd")
    struct MachineBootTests {
        private func prepare(_ machine: Machine, _ binary: String) throws {
            try machine.install(binary)
            try machine.shell(
                """
                systemctl start rpc-statd.service
                rpcwarden setup
                """)
        }

        private func write(_ machine: Machine, policy: String) throws {
            try machine.shell(
                """
                cat >/etc/rpcwarden/policy.d/start.yaml <<'EOF'
                \(policy)
                EOF
                sed -i 's/^mode: observe/mode: enforce/' /etc/rpcwarden/rpcwarden.yaml
                """)
        }

        private func guarded(_ machine: Machine) throws -> String {
            try machine.shell("nft list set inet rpcwarden guarded")
        }

        @Test("guards before the network is up, also with a broken policy, and with a name server that is dead")
        func boots() async throws {
            let machine = try Machine()
            defer { machine.stop() }
            try prepare(machine, Lab.binaryPath)
            // The unit's manual page is not installed here.
            let verified = try machine.inside("systemd-analyze", "verify", "rpcwarden-guard.service")
            #expect(verified.text.isEmpty && verified.errors.split(separator: "\n").allSatisfy { $0.contains("'man ") })
            try write(machine, policy: "rules: [{name: r, from: [10.99.0.2], to: [status]}]")
            try machine.shell("systemctl restart rpcwarden.service")
            let ports = try await eventually("what statd listens at is guarded") {
                // Without /etc/protocols nft writes numbers.
                let found = try guarded(machine).matches(of: /(6|17|tcp|udp) \. (\d+)/).map {
                    (String($0.1), String($0.2))
                }
                return found.isEmpty ? nil : found
            }
            let (number, port) = ports[0]
            let transport = number == "6" || number == "tcp" ? "tcp" : "udp"
            let saved = "/var/lib/rpcwarden/daemon/guard"
            try await eventually("it is saved") {
                try machine.inside("grep", "-q", "guarded \(transport)/\(port) programs 100024", saved).isSuccess
            }

            try write(machine, policy: "rules: [{name: r, from: [10.99.0.2], to: [statuss]}]")
            try machine.reboot()
            #expect(try machine.property("rpcwarden.service", "ActiveState") != "active", "its policy has a mistake")
            #expect(try guarded(machine).contains("\(number) . \(port)"))
            #expect(try machine.property("rpcwarden-guard.service", "Result") == "success")
            let guardTime = try machine.time("rpcwarden-guard.service", "ActiveEnterTimestampMonotonic")
            #expect(guardTime > 0)
            #expect(try guardTime <= machine.time("network-pre.target", "ActiveEnterTimestampMonotonic"))
            #expect(try guardTime >= machine.time("nftables.service", "ActiveEnterTimestampMonotonic"))
            let journal = try machine.shell("journalctl -b -u rpcwarden-guard.service -o cat --no-pager")
            #expect(journal.contains("ports guarded"), "\(journal)")

            // systemd holds the socket, and no process reads it.
            let dead = (1...12).map { "host\($0).dead.example" }.joined(separator: ", ")
            try write(machine, policy: "rules: [{name: r, from: [10.99.0.2, \(dead)], to: [status]}]")
            try machine.shell(
                """
                printf '[Unit]\\nDefaultDependencies=no\\n[Socket]\\nListenDatagram=127.0.0.1:53\\n' \
                    >/etc/systemd/system/silence.socket
                printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/etc/systemd/system/silence.service
                mkdir -p /etc/systemd/system/sysinit.target.wants
                ln -s ../silence.socket /etc/systemd/system/sysinit.target.wants/
                printf 'nameserver 127.0.0.1\\noptions timeout:30 attempts:1\\n' >/etc/resolv.conf
                """)
            try machine.reboot()
            #expect(try machine.property("rpcwarden.service", "ActiveState") == "active")
            #expect(try machine.property("silence.socket", "ActiveState") == "active")
            let journalNow = try machine.shell("journalctl -b -u rpcwarden-guard.service -o cat --no-pager")
            // All boots of the machine have the same boot ID, that of the host's kernel.
            #expect(journalNow.matches(of: /ports guarded/).count == 2, "\(journalNow)")
            let started = try machine.time("rpcwarden.service", "ExecMainStartTimestampMonotonic")
            let ready = try machine.time("rpcwarden.service", "ActiveEnterTimestampMonotonic")
            #expect(ready - started < 20_000_000, "ready after \(ready - started) µs")
            try machine.shell("systemctl start rpc-statd.service")
            try await eventually("and what statd has now is guarded") {
                try guarded(machine).contains(/(6|tcp) \. \d/)
            }
            let answer = try machine.outside("rpcinfo", "-T", "tcp", "10.99.0.1", "status", "1")
            #expect(answer.isSuccess, "\(answer)")
        }
    }
}
