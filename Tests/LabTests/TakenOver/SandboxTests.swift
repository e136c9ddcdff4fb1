import Foundation
import Testing

extension LabTests {
    @Suite("The daemon's processes")
    struct SandboxTests {
        private struct Processes {
            var front: Int32
            var netfilter: Int32
            var connector: Int32

            init(_ lab: Lab) throws {
                front = try lab.pid("daemon")
                let children = try Self.children(of: front)
                try #require(children.count == 2, "children of \(front): \(children)")
                netfilter = try #require(children["rpcwarden-nft"])
                connector = try #require(children["rpcwarden-con"])
            }

            /// The child processes, by name.
            static func children(of pid: Int32) throws -> [String: Int32] {
                let numbers = try String(contentsOfFile: "/proc/\(pid)/task/\(pid)/children", encoding: .utf8)
                    .split(separator: " ").compactMap { Int32($0) }
                return try Dictionary(numbers.map { (try status($0)["Name"] ?? "", $0) }) { first, _ in first }
            }

            var all: [Int32] { [front, netfilter, connector] }

            /// The result of a system call of the main thread, injected as by an attacker in control of the
            /// process.
            static func result(ofCall number: Int, _ arguments: Int..., in pid: Int32) throws -> Int {
                let script = Lab.path("scripts/lab.d/inject.pl")
                let output = try run(["perl", script, "\(pid)", "\(number)"] + arguments.map { "\($0)" })
                return try #require(Int(output.text.trimmingCharacters(in: .whitespacesAndNewlines)), "\(output)")
            }

            static func status(_ pid: Int32) throws -> [String: String] {
                let text = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
                let pairs = text.split(separator: "\n").compactMap { line -> (String, String)? in
                    let parts = line.split(separator: ":", maxSplits: 1)
                    return parts.count == 2
                        ? (String(parts[0]), parts[1].trimmingCharacters(in: .whitespaces)) : nil
                }
                return Dictionary(pairs) { first, _ in first }
            }

            /// The open descriptors, with their names in /proc; for sockets the protocol, as ss names it.
            static func descriptors(_ pid: Int32) throws -> [String] {
                try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").map {
                    try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\($0)")
                }
            }

            /// The process has ended. Process 1 may take two seconds to reap it, so a zombie counts.
            static func isGone(_ pid: Int32) -> Bool {
                guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
                    let name = stat.lastIndex(of: ")")
                else { return true }
                return stat[name...].dropFirst(2).first == "Z"
            }
        }

        private static let none = "0000000000000000"

        @Test(
            "the one that strangers talk to has no capability; one has CAP_NET_ADMIN, and none but netlink's sockets",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func privileges() async throws {
            let lab = try Lab.current
            let processes = try Processes(lab)
            let (front, netfilter, connector) = (
                try Processes.status(processes.front), try Processes.status(processes.netfilter),
                try Processes.status(processes.connector)
            )
            for key in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                #expect(front[key] == Self.none && connector[key] == Self.none, "\(key)")
                let isKept = key == "CapPrm" || key == "CapEff"
                #expect(netfilter[key] == (isKept ? "0000000000001000" : Self.none), "\(key)")
            }
            for process in [front, netfilter, connector] {
                #expect(process["NoNewPrivs"] == "1" && process["Seccomp"] == "2", "\(process)")
            }
            #expect(netfilter["Threads"] == "2", "one serves, one reads files: \(netfilter)")
            #expect(front["Name"] == "rpcwarden" && netfilter["Name"] == "rpcwarden-nft")
            // The daemon was started by root.
            for process in [front, netfilter, connector] {
                for key in ["Uid", "Gid"] {
                    let numbers = process[key]?.split(separator: "\t")
                    #expect(numbers?.count == 4 && numbers?.contains("0") == false, "\(key): \(process)")
                }
                #expect(process["Groups"] == "")
            }
            // Standard input, output and error; two for the channel; table, addresses, flows, monitor, drop log;
            // a gateway's rules and routes, and what the kernel tells of them; two for the reader.
            let descriptors = try Processes.descriptors(processes.netfilter)
            #expect(descriptors.count == 14, "\(descriptors)")
            // Standard input, output and error; the channel.
            #expect(try Processes.descriptors(processes.connector).count == 4)
            let inet = try lab.exec(.server, "ss", "-lntupH")
            #expect(inet.text.contains("pid=\(processes.front),"), "\(inet)")
            #expect(!inet.text.contains("pid=\(processes.netfilter),"), "\(inet)")
        }

        #if arch(x86_64)
            @Test(
                "whoever takes over the one that strangers talk to makes no unix socket, by none of its threads",
                .lab(.rpcbind, .daemon, policy: Policies.echoes()))
            func unixSockets() async throws {
                let lab = try Lab.current
                let processes = try Processes(lab)
                let (socket, socketpair, getpid, noFamily, denied) = (41, 53, 39, -97, -1)
                for pid in [processes.front, processes.connector] {
                    #expect(try Processes.result(ofCall: getpid, in: pid) == Int(pid), "so they are made")
                }
                for kind in [1, 2, 5] {
                    #expect(try Processes.result(ofCall: socket, 1, kind, in: processes.front) == noFamily)
                    #expect(try Processes.result(ofCall: socketpair, 1, kind, in: processes.front) == noFamily)
                    #expect(try Processes.result(ofCall: socket, 1, kind, in: processes.netfilter) == denied)
                }
                #expect(try Processes.result(ofCall: socket, 1, 1, in: processes.connector) >= 0, "but the one for it")
                let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(processes.front)/task")
                    .map { try #require(Int32($0)) }
                #expect(threads.count >= 4, "main, loop, audit log, connector's answers")
                for thread in threads {
                    #expect(try Processes.status(thread)["Seccomp_filters"] == "1", "\(thread)")
                }
            }
        #endif

        @Test(
            "killing any ends the others, leaves the guard and no process, and a restart goes on",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()),
            arguments: ["rpcwarden", "rpcwarden-nft", "rpcwarden-con"])
        func killed(name: String) async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            let issued = try lab.grants().map(\.issued)
            let processes = try Processes(lab)
            let victim = try processes.all.first { try Processes.status($0)["Name"] == name }
            #expect(Glibc.kill(try #require(victim), SIGKILL) == 0)
            try await eventually("all have ended") {
                processes.all.allSatisfy(Processes.isGone)
            }
            if name != "rpcwarden" {
                let told =
                    name == "rpcwarden-nft"
                    ? "the channel to the netfilter process failed" : "the channel to the connector failed"
                #expect(lab.log("daemon").contains(told), "\(lab.log("daemon"))")
                #expect(try lab.events(.stopped).count == 1)
            }
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            try await lab.restartDaemon()
            #expect(try lab.grants().map(\.issued) == issued)
            #expect(try lab.listing("status", as: StatusReport.self).table.intact)
        }

        @Test("as the unit starts it, not as root but with ambient capabilities, it gives them up too", .lab(.rpcbind))
        func ambient() async throws {
            let lab = try Lab.current
            let nobody = "65534"
            let prepare = """
                install -d -o \(nobody) /run/rpcwarden && install -m 644 -o \(nobody) /dev/null \(lab.state)/audit.jsonl
                """
            #expect(try lab.exec(.server, "sh", "-c", prepare).isSuccess)
            let capabilities = "+net_admin,+net_bind_service"
            try await lab.serve(
                policy: Policies.echoes(),
                through: [
                    "setpriv", "--reuid", nobody, "--regid", nobody, "--clear-groups", "--inh-caps", capabilities,
                    "--ambient-caps", capabilities,
                ])
            let processes = try Processes(lab)
            let (front, netfilter) = (
                try Processes.status(processes.front), try Processes.status(processes.netfilter)
            )
            let connector = try Processes.status(processes.connector)
            for key in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                #expect(front[key] == Self.none && connector[key] == Self.none, "\(key)")
            }
            #expect(connector["Uid"]?.hasPrefix(nobody) == true)
            #expect(netfilter["CapPrm"] == "0000000000001000" && netfilter["CapAmb"] == Self.none)
            #expect(front["Uid"]?.hasPrefix(nobody) == true && netfilter["Uid"]?.hasPrefix(nobody) == true)
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.rpcwarden("reload").isSuccess)
            #expect(try lab.grants().count == 1)
        }

        @Test("as root without the capability to become another user it ends, and says what to do", .lab(.rpcbind))
        func staysRoot() async throws {
            let lab = try Lab.current
            try lab.configure(policy: Policies.echoes())
            let output = try lab.exec(
                .server,
                [
                    "setpriv", "--bounding-set", "-all,+net_admin,+net_bind_service", lab.binary, "serve", "--config",
                    lab.configuration,
                ])
            #expect(
                output.status == 2 && output.errors.contains("Operation not permitted; grant CAP_SETUID"),
                "\(output)")
            #expect(try lab.nft("list tables").text.isEmpty)
        }

        @Test(
            "what can't be written where the settings say is named with setting, path and remedy",
            .lab(.rpcbind),
            arguments: [
                (
                    "audit: {to: file, file: /nonexistent/x}",
                    "audit.file: \"/nonexistent/x\": No such file or directory; make"
                ),
                ("audit: {to: file, file: /run/lab-root/x}", "audit.file: \"/run/lab-root/x\": Permission denied; "),
                ("audit: {to: file, file: /run}", "audit.file: \"/run\": Is a directory; "),
                ("control: /nonexistent/y/c.sock", "control: \"/nonexistent/y/c.sock\": No such file or directory; "),
                ("control: /run/lab-root/c.sock", "control: \"/run/lab-root/c.sock\": Permission denied; "),
                ("metrics: 127.0.0.1:9999", "tcp/127.0.0.1:9999: Address already in use; choose another `metrics`"),
                ("listen: [\"192.0.2.77:111\"]", "192.0.2.77:111: Cannot assign requested address; name an address"),
                ("policy: /nonexistent/policy.d", "/nonexistent/policy.d"),
            ])
        func places(setting: String, message: String) async throws {
            let lab = try Lab.current
            #expect(try lab.exec(.server, "install", "-d", "-m", "755", "/run/lab-root").isSuccess)
            try lab.spawnPeer(.server, "other", "listen --at 127.0.0.1 --port 9999 --over tcp")
            try await eventually("the port is taken") { lab.log("other").contains("listening") }
            let key = setting.prefix { $0 != ":" }
            let others = ["policy: \(lab.state)/policy.yaml", "audit: {to: stderr}"].filter { !$0.hasPrefix(key + ":") }
            try lab.configure(policy: Policies.echoes())
            try lab.write((others + [setting, ""]).joined(separator: "\n"), to: "rpcwarden.yaml")
            let output = try lab.exec(.server, lab.binary, "serve", "--config", lab.configuration, seconds: 5)
            #expect(output.status == 2 && output.errors.contains(message), "\(output)")
            #expect(!output.errors.contains("chown"), "nobody's folder is to be taken")
        }

        @Test("a state folder that its user can't get to is told of, and the daemon serves", .lab(.rpcbind))
        func unreachableState() async throws {
            let lab = try Lab.current
            let folder = "/run/lab-closed/guard"
            #expect(try lab.exec(.server, "install", "-d", "-m", "700", "/run/lab-closed").isSuccess)
            try await lab.serve(policy: Policies.echoes(), through: ["env", "STATE_DIRECTORY=\(folder)"])
            let complaint = "the guard can't be saved for the next boot: reaching \(folder): Permission denied"
            #expect(lab.log("daemon").contains(complaint), "\(lab.log("daemon"))")
        }

        @Test("a policy that only root can read is told of: `reload` would be refused", .lab(.rpcbind))
        func unreadablePolicy() async throws {
            let lab = try Lab.current
            try lab.configure(policy: Policies.echoes())
            #expect(chmod("\(lab.state)/policy.yaml", 0o600) == 0)
            try lab.spawn(.server, "daemon", [lab.binary, "serve", "--config", lab.configuration])
            try await lab.event(.started)
            #expect(lab.log("daemon").contains("policy.yaml\": Permission denied for user"), "\(lab.log("daemon"))")
            let refused = try lab.rpcwarden("reload")
            #expect(refused.status == 2 && refused.errors.contains("policy.yaml"), "\(refused)")
            #expect(chmod("\(lab.state)/policy.yaml", 0o644) == 0)
            #expect(try lab.rpcwarden("reload").isSuccess)
        }

        @Test("without the netfilter process serve ends with a status other than 0", .lab(.rpcbind))
        func exitStatus() async throws {
            let lab = try Lab.current
            try lab.configure(policy: Policies.echoes())
            try await lab.serve(policy: Policies.echoes(), through: ["sh", "-c", "\"$@\"; echo \"ended: $?\"", "sh"])
            // The lab's pid file has the pid of the shell.
            let shell = try lab.pid("daemon")
            let front = try String(contentsOfFile: "/proc/\(shell)/task/\(shell)/children", encoding: .utf8)
                .trimmingCharacters(in: .whitespaces)
            let netfilter = try Processes.children(of: try #require(Int32(front)))["rpcwarden-nft"]
            #expect(Glibc.kill(try #require(netfilter), SIGKILL) == 0)
            try await eventually("serve has ended") { lab.log("daemon").contains("ended: 2") }
            #expect(
                lab.log("daemon").contains("rpcwarden: the daemon ended: the channel to the netfilter process failed"))
        }

        @Test(
            "reload, log rotation and the control socket need no capability",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func afterwards() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            let policy = "rules: [{name: all, from: [10.77.4.0/24], to: [\(Echo.programs[0])], open: always}]"
            try lab.configure(policy: policy)
            #expect(try lab.rpcwarden("reload").isSuccess)
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "connected")
            #expect(try lab.exec(.server, "mv", "\(lab.state)/audit.jsonl", "\(lab.state)/old.jsonl").isSuccess)
            try lab.kill("daemon", "HUP")
            try await lab.event(.reloaded)
            #expect(!lab.log("daemon").contains("refused"), "\(lab.log("daemon"))")
        }

        @Test(
            "a host that the policy names is granted what it looks up; one that moved into it by reload too",
            .lab(.rpcbind, .daemon, policy: Policies.echoes()))
        func nothingRefused() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            try lab.lookUp(echo)
            try lab.configure(
                policy: "rules: [{name: host, from: [10.77.4.2], to: [\(Echo.programs[0])], list: true}]")
            #expect(try lab.rpcwarden("reload").isSuccess)
            try await lab.event(.revoked) { $0.client == "10.77.1.2" }
            try lab.lookUp(echo, from: .stranger, options: "")
            try await lab.event(.granted) { $0.client == "10.77.4.2" }
            #expect(!lab.log("daemon").contains("refused"), "\(lab.log("daemon"))")
        }
    }
}
