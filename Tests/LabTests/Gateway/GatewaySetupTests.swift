import Foundation
import Testing

extension LabTests {
    @Suite("setup --gateway, on a machine with systemd")
    struct GatewaySetupTests {
        private static let dropIn = "/etc/systemd/system/rpcwarden.socket.d/rpcwarden-gateway.conf"
        private static let program = Echo.programs[0]

        /// A stock rpcbind, with one service.
        private static let server = """
            rpcbind -f -w &
            until \(Lab.peerPath) call --unix /run/rpcbind.sock v4 set \(program) 1 tcp 0.0.0.0.15.161 superuser; do sleep 0.1; done
            \(Lab.peerPath) call --unix /run/rpcbind.sock v4 set \(program) 1 tcp6 ::.15.161 superuser
            \(Lab.peerPath) listen --at 0.0.0.0 --port 4001 --over tcp --echo --answer &
            exec \(Lab.peerPath) listen --at :: --port 4001 --over tcp --echo --answer
            """

        /// 10.99.0.3 and fd99::2 may use the service; 10.99.0.2 may nothing.
        private static let files = """
            cat >/etc/rpcwarden/rpcwarden.yaml <<'EOF'
            mode: enforce
            gateway:
              servers:
                - name: filer1
                  address: [10.98.0.2, "fd98::2"]
                  rpcbind: {refresh: 1s}
            EOF
            cat >/etc/rpcwarden/policy.d/start.yaml <<'EOF'
            programs: {echo: [\(program)]}
            rules:
              - {name: clients use filer1, from: [10.99.0.3, "fd99::2"], to: [echo], at: [filer1]}
            EOF
            rpcwarden check
            """

        /// Forwarding begins with the network, as where a network manager switches it on.
        private static let network = """
            cat >/etc/systemd/system/forwarding.service <<'EOF'
            [Unit]
            Wants=network-pre.target
            After=network-pre.target
            Before=network.target
            [Service]
            Type=oneshot
            RemainAfterExit=yes
            ExecStart=/sbin/sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
            [Install]
            WantedBy=multi-user.target
            EOF
            systemctl enable --quiet --now forwarding.service
            """

        /// On a busy machine some time passes between the flush of Debian's unit and the kernel's end.
        private static let slowShutdown = """
            mkdir -p /etc/systemd/system/nftables.service.d
            printf '[Service]\\nExecStop=/bin/sleep 2\\n' >/etc/systemd/system/nftables.service.d/slow.conf
            systemctl daemon-reload; systemctl start nftables.service
            """

        @Test(
            "a stock router becomes a gateway, boots as one with its guard before it forwards, and becomes a router again"
        )
        func story() async throws {
            let machine = try Machine()
            defer { machine.stop() }
            try machine.putServerBehind(Self.server)
            try await eventually("the server listens", within: .seconds(30)) {
                machine.serverLog.matches(of: /listening/).count == 2
            }
            try machine.install(Lab.binaryPath)
            try machine.shell("\(Self.network)\n\(Self.slowShutdown)")
            #expect(try lookUp(machine, from: "10.99.0.2", over: "udp").contains("port 4001"), "it only forwards")

            let refused = try machine.inside("rpcwarden", "setup", "--gateway")
            #expect(refused.status == 1 && refused.errors.contains("rpcbind has port 111 of this host"), "\(refused)")
            let turnOff = try #require(refused.errors.firstMatch(of: /systemctl disable --now .*/))
            try machine.shell("\(turnOff.output); rpcwarden setup --gateway")
            #expect(try machine.property("rpcwarden.service", "ActiveState") == "inactive", "there is no server yet")
            try machine.shell("\(Self.files)\nrpcwarden setup --gateway")
            #expect(try machine.property("rpcwarden.socket", "Transparent") == "yes")
            try await expectGuard(machine)
            #expect(try !machine.shell("rpcwarden setup --gateway").contains("done:"))
            #expect(try findings(machine) == [])
            let security = try machine.shell("systemd-analyze --no-pager security rpcwarden.service")
            let level = try #require(security.firstMatch(of: /exposure level for rpcwarden.service: ([0-9.]+)/))
            #expect(try #require(Double(level.1)) <= 1.5)

            try await eventually("the guard is saved", within: .seconds(20)) {
                try machine.inside("grep", "-q", "guarded tcp/4001@10.98.0.2 ", Self.saved).isSuccess
            }
            let stranger = try attempts(machine) { try machine.reboot() }
            #expect(stranger.let == 0 && stranger.all > 0, "\(stranger)")
            let forwards = try machine.time("forwarding.service", "ExecMainStartTimestampMonotonic")
            #expect(try machine.time("rpcwarden-guard.service", "ActiveEnterTimestampMonotonic") <= forwards)
            let journal = try machine.shell("journalctl -u rpcwarden-guard.service -o cat --no-pager")
            #expect(journal.contains("2 ports guarded"), "\(journal)")
            #expect(try machine.property("rpcwarden.service", "ActiveState") == "active")
            try await expectGuard(machine)
            #expect(try findings(machine) == [])

            try machine.shell("rpcwarden setup --undo")
            #expect(try !machine.inside("test", "-e", Self.dropIn).isSuccess)
            #expect(try machine.property("rpcwarden.socket", "Transparent") == "no")
            #expect(try machine.inside("systemctl", "is-enabled", "rpcwarden.socket").text == "disabled\n")
            #expect(try !machine.shell("nft list tables").contains("rpcwarden"))
            #expect(try routing(machine) == [])
            for client in ["10.99.0.2", "10.99.0.3"] {
                #expect(try lookUp(machine, from: client, over: "udp").contains("port 4001"))
                #expect(try connect(machine, from: client) == "connected")
            }
        }

        private static let saved = "/var/lib/rpcwarden/daemon/guard"

        /// Those of `doctor`, but for what the kernel of this host, whose settings the machine has, is to blame for.
        private func findings(_ machine: Machine) throws -> [String] {
            let found = try machine.inside("rpcwarden", "doctor").text.matches(of: /\[([a-z0-9-]+)\]\n/).map {
                String($0.1)
            }
            return found.filter { !["bridged-packets", "container"].contains($0) }
        }

        /// Asks the server's port 111, as it knows it, for the service.
        private func lookUp(_ machine: Machine, from client: String, over transport: String) throws -> String {
            let isIPv4 = !client.contains(":")
            let about = (isIPv4 ? "v2 getport" : "v4 getaddr") + " \(Self.program) 1 " + (isIPv4 ? "tcp" : "tcp6")
            return try machine.outside(
                [Lab.peerPath, "call", "--to", isIPv4 ? "10.98.0.2" : "fd98::2", "--over", transport, "--from", client]
                    + ["--wait", "1000"] + about.split(separator: " ").map(String.init)
            ).text
        }

        private func connect(_ machine: Machine, from client: String) throws -> String? {
            let server = client.contains(":") ? "fd98::2" : "10.98.0.2"
            let words = "connect --to \(server) --port 4001 --over tcp --from \(client) --wait 500"
            return try machine.outside([Lab.peerPath] + words.split(separator: " ").map(String.init)).lines.first
        }

        /// The stranger's attempts to connect during `body`: the number of them that succeeded, and of all.
        private func attempts(_ machine: Machine, during body: () throws -> Void) throws -> (let: Int, all: Int) {
            let (going, log) = (machine.folder + "/going", machine.folder + "/attempts")
            try "".write(toFile: going, atomically: false, encoding: .utf8)
            let attempt = "\(Lab.peerPath) connect --to 10.98.0.2 --port 4001 --over tcp --from 10.99.0.2 --wait 100"
            let loop =
                "while [ -e \(going) ]; do \(attempt) >>\(log) 2>&1 || true; echo tried >>\(log); sleep 0.02; done"
            try machine.spawnOutside("attempts", loop)
            defer { try? FileManager.default.removeItem(atPath: going) }
            try body()
            let lines = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
            return (lines.count { $0 == "connected" }, lines.count { $0 == "tried" })
        }

        private func expectGuard(_ machine: Machine) async throws {
            // systemd calls the daemon ready before it knows the servers.
            try await eventually("filer1 is read", within: .seconds(20)) {
                try machine.shell("rpcwarden status --verbose").contains(/server filer1 +reachable/)
            }
            #expect(try lookUp(machine, from: "10.99.0.2", over: "udp").contains("silence"))
            #expect(try connect(machine, from: "10.99.0.2") == "timeout")
            #expect(try connect(machine, from: "10.99.0.3") == "timeout", "it didn't ask yet")
            for over in ["udp", "tcp"] {
                let answer = try lookUp(machine, from: "10.99.0.3", over: over)
                #expect(answer.contains("reply from 10.98.0.2:111 ") && answer.contains("port 4001"), "\(answer)")
            }
            let answer = try lookUp(machine, from: "fd99::2", over: "tcp")
            #expect(answer.contains("reply from [fd98::2]:111 ") && answer.contains("fd98::2.15.161"), "\(answer)")
            for client in ["10.99.0.3", "fd99::2"] { #expect(try connect(machine, from: client) == "connected") }
            #expect(
                try routing(machine) == [
                    "111: from all fwmark 0x20000/0x20000 lookup 111",
                    "112: from all fwmark 0x40000/0x40000 lookup 112",
                    "local 10.98.0.2 dev lo", "throw 10.98.0.2", "local default dev lo",
                ])
        }

        /// Rules and routes of a gateway, of IPv4.
        private func routing(_ machine: Machine) throws -> Set<String> {
            let shown = try machine.shell(
                "ip rule show; for table in 111 112; do ip route show table $table 2>/dev/null || true; done")
            let lines = shown.split(separator: "\n").filter { !$0.contains(/lookup (local|main|default)/) }
            return Set(
                lines.map { line in
                    line.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
                        .replacing(/\ proto kernel| scope host/, with: "")
                })
        }
    }
}
