import Foundation
import PolicyFile
import Testing

@testable import HostPosture
@testable import HostSurvey

// sched.h declares these for _GNU_SOURCE only, and Swift's Glibc module is built without it.
@_silgen_name("unshare") private func unshare(_ flags: Int32) -> Int32
private let CLONE_FS: Int32 = 0x200

extension FakeHostTests {
    @Suite("setup on fake hosts") struct SetupTests {
        /// Runs setup as the command does; returns the steps that are left to do.
        @discardableResult
        private func setUp(_ host: FakeHost, isRunning: Bool = true) throws -> [String] {
            try carryOut(host, isRunning) { SetupPlan.setup($0) }
        }

        @discardableResult
        private func undo(_ host: FakeHost, isRunning: Bool = true) throws -> [String] {
            try carryOut(host, isRunning) { SetupPlan.undo($0) }
        }

        private func carryOut(_ host: FakeHost, _ isRunning: Bool, _ plan: (SetupFacts) -> SetupPlan) throws -> [String]
        {
            let survey = host.survey(isRunning: isRunning)
            let facts = survey.setupFacts()
            let plan = plan(facts)
            #expect(plan.obstacles == [])
            var carrier = SetupRunner(survey, facts)
            var left: [String] = []
            for case .act(let action, let entries) in plan.steps {
                if let rest = try carrier.carryOut(action, recording: entries) { left.append(rest) }
            }
            return left
        }

        /// A host with stubs that add and remove the user.
        private func host(options: [String] = ["-f", "-w"], dependents: String = "") throws -> FakeHost {
            let host = try FakeHost.stock(options: options, dependents: dependents)
            try host.stub("systemd-sysusers", "echo 'rpcwarden:x:999:999::/:' >>\(host.root)/etc/passwd\n")
            try host.stub("userdel", "echo 'root:x:0:0::/:/bin/sh' >\(host.root)/etc/passwd\n")
            try host.stub("nft", "")
            try host.serve([.service(100_003, 3), .service(100_024, 1)])
            return host
        }

        private static let socketDropIn = String(SetupFiles.socketDropIn.dropFirst())
        private static let serviceDropIn = String(SetupFiles.serviceDropIn.dropFirst())
        private static let socketText = SetupFiles.socketDropInText([SetupFiles.rpcbindSocket])

        private static let commands = [
            "systemd-sysusers --inline u rpcwarden - \"RPC access proxy\" /", "systemctl daemon-reload",
            "systemctl restart rpcbind.socket", "systemctl start rpcbind.service",
            "systemctl enable --now rpcwarden.socket rpcwarden.service rpcwarden-guard.service",
        ]

        @Test("a plan touches nothing, and shows each file's text and each command")
        func dryRun() throws {
            let host = try host(dependents: "rpcbind.service rpc-statd.service nis.service")
            try host.set("rpc-statd.service", "static", "active")
            let before = host.tree()
            let plan = SetupPlan.setup(host.survey().setupFacts())
            #expect(host.tree() == before && host.changes == [])
            let shown = plan.actions.map(\.description).joined(separator: "\n")
            #expect(shown.contains("    | mode: observe") && shown.contains("    | PrivateNetwork=yes"))
            #expect(shown.contains("    | ListenStream=/run/rpcbind.sock") && !shown.contains("ListenStream=0.0.0.0"))
            #expect(shown.contains("run: systemctl restart rpcbind.socket"))
            #expect(
                plan.steps.contains(.note("systemd restarts these units along with rpcbind.socket: rpc-statd.service")))
            #expect(
                plan.steps.contains(.note("rpcbind runs with -w (warm start): it keeps its registrations")))
        }

        @Test("setup takes rpcbind's network before rpcwarden starts, observing; a second one changes nothing")
        func idempotent() throws {
            let host = try host()
            #expect(try setUp(host) == [])
            #expect(host.changes == Self.commands)
            let tree = host.tree()
            #expect(tree["etc/rpcwarden/rpcwarden.yaml"]?.contains("\nmode: observe\n") == true)
            #expect(tree[Self.socketDropIn] == Self.socketText)
            #expect(tree[Self.serviceDropIn] == SetupFiles.serviceDropInText)
            #expect(host.survey().facts().rpcbindNetwork == .empty)

            let again = SetupPlan.setup(host.survey().setupFacts())
            #expect(again.actions == [])
            #expect(again.steps.count == 6)
            #expect(try setUp(host) == [] && host.tree() == tree && host.changes == Self.commands)
        }

        @Test("where rpcbind serves its abstract name, setup keeps that from local users, also after an earlier setup")
        func abstractName() throws {
            let host = try host()
            try setUp(host)
            try host.write(
                "/var/lib/dpkg/status",
                "Package: rpcbind\nStatus: install ok installed\nVersion: 1.2.7-1\n\nPackage: a\nVersion: 2\n")
            #expect(host.findings().map(\.finding).contains("abstract-socket-free"))
            try setUp(host)
            let text = SetupFiles.socketDropInText([SetupFiles.rpcbindSocket, "@/run/rpcbind.sock"])
            #expect(host.tree()[Self.socketDropIn] == text)
            #expect(!host.findings().map(\.finding).contains("abstract-socket-free"))
            #expect(SetupPlan.setup(host.survey().setupFacts()).actions == [])
            try undo(host)
            #expect(host.tree()[Self.socketDropIn] == nil)
        }

        @Test("setup tells at the end what it did to calls, and what comes next; not in enforce mode")
        func next() throws {
            let host = try host()
            let next = SetupPlan.setup(host.survey().setupFacts()).next.joined(separator: "\n")
            for text in ["observes", "/etc/rpcwarden/policy.d", "rpcwarden learn"] { #expect(next.contains(text)) }
            try setUp(host)
            #expect(SetupPlan.setup(host.survey().setupFacts()).next == [], "nothing was done")
            try undo(host)
            try host.write(SetupFiles.configuration, "mode: enforce\n")
            try host.write("/etc/rpcwarden/policy.d/a.yaml", "rules: []\n")
            #expect(SetupPlan.setup(host.survey().setupFacts()).next == [])
        }

        @Test("undo takes back all that setup did, in the reverse order, and nothing else")
        func undoes() throws {
            let host = try host()
            let before = host.tree()
            try setUp(host)
            try host.stub("nft", "printf 'table inet rpcwarden {\\n}\\n'\n")
            #expect(try undo(host) == [])
            #expect(
                Array(host.changes.dropFirst(Self.commands.count)) == [
                    "systemctl stop rpcwarden.socket rpcwarden.service rpcwarden-guard.service",
                    "systemctl disable rpcwarden.socket rpcwarden.service rpcwarden-guard.service",
                    "systemctl daemon-reload", "systemctl restart rpcbind.socket", "systemctl start rpcbind.service",
                    "rpcwarden guard unload", "userdel rpcwarden",
                ])
            // Folders above rpcwarden's own folders are kept, like folders that mkdir -p made.
            let after = host.tree().filter { before[$0.key] != $0.value }
            #expect(Set(after.keys).isSubset(of: ["etc/systemd", "etc/systemd/system", "var", "var/lib"]))
            #expect(before.filter { host.tree()[$0.key] != $0.value } == [:])
            #expect(SetupPlan.undo(host.survey().setupFacts()).actions == [])
        }

        @Test("a strict umask keeps the daemon from no folder that setup makes")
        func umaskOfRoot() throws {
            let host = try host()
            let survey = host.survey()
            var carrier = SetupRunner(survey, survey.setupFacts())
            let folder = host.root + SetupFiles.recordFolder
            // From here on the umask is this thread's own, because other tests write files meanwhile.
            try #require(unshare(CLONE_FS) == 0)
            let before = umask(0o077)
            defer { umask(before) }
            _ = try carrier.carryOut(.makeFolder(folder), recording: [])
            func mode(_ path: String) throws -> Int? {
                let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber
                return mode?.intValue
            }
            for path in [host.root + "/var/lib", folder] { #expect(try mode(path) == 0o755) }
            #expect(chmod(folder, 0o711) == 0)
            _ = try carrier.carryOut(.makeFolder(folder), recording: [])
            #expect(try mode(folder) == 0o711, "what is there stays as it is")
        }

        @Test("undo takes from the record what setup may have done, and no other unit or user")
        func foreignRecord() throws {
            let host = try host()
            var facts = host.survey().setupFacts()
            facts.hasUser = true
            for entry in [
                SetupRecord.Entry.user("alice"), .enabled("ssh.service"), .folder("/home/alice"),
                .file("/etc/shadow", mark: "0"),
            ] {
                facts.record.add(entry)
            }
            let record = host.root + SetupFiles.record
            #expect(SetupPlan.undo(facts).actions == [.removeFile(facts.root + SetupFiles.record)])
            facts.record.add(.user(SetupFiles.user))
            facts.record.add(.enabled("rpcwarden.socket"))
            let shown = SetupPlan.undo(facts).actions.map(\.description).joined(separator: "\n")
            #expect(shown.contains("systemctl disable rpcwarden.socket") && shown.contains("userdel rpcwarden"))
            #expect(!shown.contains("alice") && !shown.contains("ssh") && !shown.contains("shadow"))

            try host.write(SetupFiles.record, facts.record.text)
            #expect(host.survey().setupFacts().record == facts.record)
            #expect(rename(record, record + ".real") == 0 && symlink(record + ".real", record) == 0)
            #expect(host.survey().setupFacts().record.isEmpty, "a link is no record")
        }

        @Test("a record that root doesn't own is none", .enabled(if: geteuid() == 0))
        func recordOfAnother() throws {
            let host = try host()
            try setUp(host)
            #expect(!host.survey().setupFacts().record.isEmpty)
            #expect(chown(host.root + SetupFiles.record, 65_534, 65_534) == 0)
            #expect(host.survey().setupFacts().record.isEmpty)
            #expect(SetupPlan.undo(host.survey().setupFacts()).actions == [])
        }

        @Test("undo leaves what was edited, and what was there before setup")
        func keepsEdits() throws {
            let host = try host()
            try host.write("/etc/rpcwarden/policy.d/mine.yaml", "rules: []\n")
            try host.set("rpcwarden.socket", "enabled", "inactive")
            try setUp(host)
            #expect(host.tree()["etc/rpcwarden/policy.d/start.yaml"] == nil)
            try host.write(SetupFiles.configuration, "mode: enforce\n")
            try undo(host)
            let tree = host.tree()
            #expect(tree["etc/rpcwarden/rpcwarden.yaml"] == "mode: enforce\n")
            #expect(tree["etc/rpcwarden/policy.d/mine.yaml"] == "rules: []\n")
            #expect(host.changes.contains("systemctl disable rpcwarden.service rpcwarden-guard.service"))
            #expect(!host.changes.contains { $0.hasPrefix("systemctl disable") && $0.contains("rpcwarden.socket") })
            #expect(host.changes.contains("systemctl stop rpcwarden.socket rpcwarden.service rpcwarden-guard.service"))
        }

        @Test("a step that fails can be taken back, or done again")
        func failure() throws {
            let host = try host()
            let before = host.tree()
            try host.put("\(host.state)/fails.restart", "")
            let error = #expect(throws: SetupRunner.Failure.self) { try setUp(host) }
            #expect(
                error?.description.contains(
                    "`systemctl restart rpcbind.socket` failed with exit status 1: Failed to restart")
                    == true)
            #expect(!host.changes.contains { $0.contains("enable --now") })

            let tree = host.tree()
            try FileManager.default.removeItem(atPath: "\(host.state)/fails.restart")
            try undo(host)
            #expect(before.allSatisfy { host.tree()[$0.key] == $0.value })
            #expect(host.tree()["etc/rpcwarden"] == nil && tree["etc/rpcwarden"] != nil)

            try host.put("\(host.state)/fails.restart", "")
            #expect(throws: SetupRunner.Failure.self) { try setUp(host) }
            try FileManager.default.removeItem(atPath: "\(host.state)/fails.restart")
            try setUp(host)
            #expect(Array(host.changes.suffix(4)) == Array(Self.commands.suffix(4)))
        }

        @Test("without a warm start it says what to restart, and looks whether registrations were lost")
        func lostRegistrations() throws {
            let host = try host(options: ["-f"])
            let plan = SetupPlan.setup(host.survey().setupFacts())
            #expect(
                plan.steps.contains(
                    .note(
                        "rpcbind runs without -w: its restart loses the registrations. Restart these services after it: "
                            + "nfs-server (or nfs-ganesha), rpc-statd")))
            let survey = host.survey()
            var carrier = SetupRunner(survey, survey.setupFacts(), patienceForRegistrations: .milliseconds(200))
            #expect(try carrier.carryOut(.compareRegistrations, recording: []) == nil)
            try host.serve([.service(100_003, 3)])
            let left = try #require(try carrier.carryOut(.compareRegistrations, recording: []))
            #expect(left == "1 registrations are lost (programs 100024); restart rpc-statd")
            try FileManager.default.removeItem(atPath: host.root + "/run/rpcbind.sock")
            let silent = try carrier.carryOut(.compareRegistrations, recording: [])
            #expect(silent?.hasPrefix("rpcbind doesn't answer at \(host.root)/run/rpcbind.sock") == true)
        }

        @Test("an image gets its files, its user and its links, and nothing is started")
        func image() throws {
            let host = try host()
            try host.write("/lib/systemd/systemd", "")
            let before = host.tree()
            try setUp(host, isRunning: false)
            let root = "--root=\(host.root)"
            #expect(
                host.changes == [
                    "systemd-sysusers \(root) --inline u rpcwarden - \"RPC access proxy\" /",
                    "systemctl \(root) enable rpcwarden.socket rpcwarden.service rpcwarden-guard.service",
                ])
            #expect(host.tree()[Self.socketDropIn] == Self.socketText)
            #expect(host.tree()[Self.serviceDropIn] == SetupFiles.serviceDropInText)
            #expect(SetupPlan.setup(host.survey(isRunning: false).setupFacts()).actions == [])
            #expect(host.findings(isRunning: false) == [])
            try undo(host, isRunning: false)
            #expect(before.allSatisfy { host.tree()[$0.key] == $0.value })
            #expect(
                host.changes.suffix(2).first
                    == "systemctl \(root) disable rpcwarden.socket rpcwarden.service rpcwarden-guard.service")
        }

        @Test("an image's link that leads out of it is not followed")
        func escape() throws {
            let host = try host()
            try host.write("/lib/systemd/systemd", "")
            try FileManager.default.createDirectory(atPath: host.folder + "/outside", withIntermediateDirectories: true)
            try FileManager.default.createDirectory(
                atPath: host.root + "/etc/systemd", withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(
                atPath: host.root + "/etc/systemd/system", withDestinationPath: host.folder + "/outside")
            let error = #expect(throws: SetupRunner.Failure.self) { try setUp(host, isRunning: false) }
            #expect(error?.description.contains("leads out of the image") == true)
            #expect(try FileManager.default.contentsOfDirectory(atPath: host.folder + "/outside") == [])

            let other = try self.host()
            try other.write("/lib/systemd/systemd", "")
            try other.write("/var/lib/rpcwarden/.keep", "")
            try other.put(other.folder + "/outside", "theirs")
            try FileManager.default.createSymbolicLink(
                atPath: other.root + SetupFiles.record, withDestinationPath: other.folder + "/outside")
            #expect(throws: SetupRunner.Failure.self) { try setUp(other, isRunning: false) }
            #expect(try String(contentsOfFile: other.folder + "/outside", encoding: .utf8) == "theirs")
        }

        @Test("a configuration that the daemon would refuse stands in the way")
        func mistakes() throws {
            let host = try host()
            var facts = host.survey().setupFacts()
            facts.configurationErrors = ["rpcwarden.yaml:1:1: error: unknown key"]
            let plan = SetupPlan.setup(facts)
            #expect(plan.obstacles[0].contains("rpcwarden would not start: rpcwarden.yaml:1:1"))
            #expect(!plan.actions.isEmpty && plan.next == [], "the plan is told beside it")
        }

        @Test("a policy that the configuration names counts, and no other one is written beside it")
        func otherPolicy() throws {
            let host = try host()
            try host.write(SetupFiles.configuration, "mode: enforce\npolicy: site.yaml\n")
            var facts = host.survey().setupFacts()
            facts.readsPolicyFolder = false
            let plan = SetupPlan.setup(facts)
            #expect(plan.obstacles == [] && !plan.actions.contains(.makeFolder(host.root + SetupFiles.policyFolder)))
            #expect(!plan.actions.contains(.writeFile(host.root + SetupFiles.policy, text: SetupFiles.policyText)))
            facts.hasRules = false
            #expect(SetupPlan.setup(facts).obstacles.contains { $0.contains("no policy with a rule") })
            facts.host.expected.isObserving = true
            #expect(SetupPlan.setup(facts).obstacles == [])
        }

        @Test("another configuration is that of a unit which starts the daemon with it, and setup writes none then")
        func otherConfiguration() throws {
            let host = try host()
            var facts = host.survey().setupFacts()
            facts.otherConfiguration = "/srv/site.yaml"
            let obstacle = try #require(SetupPlan.setup(facts).obstacles.first)
            #expect(obstacle.contains("doesn't start with --config /srv/site.yaml"))
            #expect(!host.survey().startsWarden(with: "/srv/site.yaml"))
            try host.write(
                "/etc/systemd/system/rpcwarden.service.d/site.conf",
                "[Service]\nExecStart=\nExecStart=/usr/sbin/rpcwarden serve --config /srv/site.yaml\n")
            facts.startsWithOtherConfiguration = host.survey().startsWarden(with: "/srv/site.yaml")
            facts.host.expected.isObserving = true
            facts.readsPolicyFolder = false
            let plan = SetupPlan.setup(facts)
            #expect(plan.obstacles == [] && plan.steps.contains(.alreadySo("/srv/site.yaml is the configuration")))
            #expect(!plan.actions.description.contains("rpcwarden.yaml"))
        }

        @Test("a second setup restarts what is not up, until rpcbind runs without a network or waits for a call")
        func failedRestart() throws {
            let host = try host()
            try setUp(host)
            func isRestarted(_ change: (inout SetupFacts) -> Void) -> Bool {
                var facts = host.survey().setupFacts()
                change(&facts)
                return SetupPlan.setup(facts).actions.contains(.run(["systemctl", "restart", "rpcbind.socket"]))
            }
            #expect(!isRestarted { _ in })
            for activity in ["inactive", "failed"] {
                #expect(isRestarted { $0.host.units["rpcbind.socket"]?.activity = activity })
            }
            #expect(!isRestarted { $0.host.rpcbindNetwork = nil })
            #expect(
                isRestarted {
                    $0.host.rpcbindNetwork = nil
                    $0.host.registrations = nil
                }, "it doesn't start")
            #expect(isRestarted { $0.host.rpcbindNetwork = .ofHost })
        }

        @Test("a daemon that could not start leaves rpcbind its network: no nf_tables, port 111 of another process")
        func noStart() throws {
            let host = try host()
            var facts = host.survey().setupFacts()
            facts.host.kernel.hasNFTables = false
            #expect(SetupPlan.setup(facts).obstacles.contains { $0.contains("this kernel has no nf_tables") })
            #expect(SetupPlan.setupGateway(facts).obstacles.contains { $0.contains("this kernel has no nf_tables") })
            try host.set("rpcbind.socket", "disabled", "inactive")
            try host.listen(at: FakeHost.stock, inode: 101)
            let obstacles = SetupPlan.setup(host.survey().setupFacts()).obstacles
            #expect(obstacles.contains { $0.contains("holds tcp 0.0.0.0:111, udp 0.0.0.0:111") }, "\(obstacles)")
        }

        @Test("without systemd-sysusers the user is made by useradd")
        func useradd() throws {
            let host = try host()
            try FileManager.default.removeItem(atPath: "\(host.bin)/systemd-sysusers")
            let plan = SetupPlan.setup(host.survey().setupFacts())
            #expect(plan.actions.contains { $0.description.hasPrefix("run: useradd --system") })
        }

        @Test("what stands in the way is said")
        func obstacles() throws {
            let host = try host()
            func obstacles() -> String {
                let plan = SetupPlan.setup(host.survey().setupFacts())
                return plan.obstacles.joined(separator: "\n")
            }
            try FileManager.default.removeItem(atPath: host.root + "/lib/systemd/system/rpcwarden.service")
            #expect(obstacles().contains("rpcwarden.service is not installed"))
            try host.write("/lib/systemd/system/rpcwarden.service", "")
            try host.write(SetupFiles.socketDropIn, "[Socket]\nListenStream=\nListenStream=127.0.0.1:1111\n")
            #expect(obstacles().contains("with it rpcbind.socket has ports, or no unix socket"))
            try FileManager.default.removeItem(atPath: host.root + SetupFiles.socketDropIn)
            try host.write(SetupFiles.serviceDropIn, "[Service]\nPrivateNetwork=no\n")
            #expect(obstacles().contains("rpcbind.service lacks PrivateNetwork=yes"))
            try FileManager.default.removeItem(atPath: host.root + SetupFiles.serviceDropIn)
            let later = "/etc/systemd/system/rpcbind.socket.d/site.conf"
            try host.write(later, "[Socket]\nListenStream=10.0.0.1:111\n")
            #expect(
                obstacles().contains("rpcbind.socket gets ports from drop-ins") && obstacles().contains("site.conf"))
            try FileManager.default.removeItem(atPath: host.root + later)
            try host.write(SetupFiles.configuration, "")
            #expect(obstacles().contains("every call would be denied"))
            var facts = host.survey().setupFacts()
            facts.hasFleetPolicy = true
            #expect(SetupPlan.setup(facts).obstacles == [], "a fleet's policy takes its place")
            try FileManager.default.removeItem(atPath: host.root + SetupFiles.configuration)
            try host.set("rpcbind.socket", "masked", "inactive")
            #expect(obstacles().contains("masked"))
            try FileManager.default.removeItem(atPath: host.root + "/run/systemd")
            #expect(obstacles().contains("no systemd. By hand:"))
            #expect(obstacles().contains("`unshare -n rpcbind -w`"))
        }

        @Test("the unix sockets that the distribution's unit has are kept, the abstract one too")
        func abstractSocket() throws {
            let host = try host()
            try host.write(
                "/lib/systemd/system/rpcbind.socket",
                "[Socket]\nListenStream=@/run/rpcbind.sock\n" + FakeHost.socketUnit.dropFirst("[Socket]\n".count))
            try setUp(host)
            let text = SetupFiles.socketDropInText(["@/run/rpcbind.sock", "/run/rpcbind.sock"])
            #expect(host.tree()[Self.socketDropIn] == text)
            #expect(SetupPlan.setup(host.survey().setupFacts()).actions == [])
        }

        @Test("what setup of 0.1.0 wrote is replaced, rpcbind restarted, and taken back whole")
        func upgrade() throws {
            for isRecorded in [true, false] {
                let host = try host()
                let before = host.tree()
                try host.write(SetupFiles.socketDropIn, SetupFiles.socketDropInTextOf010)
                var record = SetupRecord()
                record.add(.folder(SetupFiles.socketDropInFolder))
                let mark = SetupRecord.mark(of: SetupFiles.socketDropInTextOf010.utf8)
                record.add(.file(SetupFiles.socketDropIn, mark: mark))
                if isRecorded { try host.write(SetupFiles.record, record.text) }
                try setUp(host)
                #expect(host.changes.contains("systemctl restart rpcbind.socket"))
                #expect(host.tree()[Self.socketDropIn] == Self.socketText)
                #expect(host.tree()[Self.serviceDropIn] == SetupFiles.serviceDropInText)
                #expect(SetupPlan.setup(host.survey().setupFacts()).actions == [])
                try undo(host)
                #expect(before.allSatisfy { host.tree()[$0.key] == $0.value })
                #expect(host.tree()[Self.socketDropIn] == nil && host.tree()[Self.serviceDropIn] == nil)
            }
        }

        @Test("a host without sunrpc in /etc/services is told what to install, one without IPv6 what it gets")
        func warnings() throws {
            let host = try host()
            func notes() -> String {
                SetupPlan.setup(host.survey().setupFacts()).steps
                    .compactMap { if case .note(let text) = $0 { text } else { nil } }.joined(separator: "\n")
            }
            #expect(!notes().contains("sunrpc") && !notes().contains("IPv6"))
            try host.write("/etc/services", "ssh 22/tcp\n")
            try FileManager.default.removeItem(atPath: host.root + "/proc/net/if_inet6")
            #expect(notes().contains("run this before setup: `apt-get install netbase`"))
            #expect(notes().contains("this host has no IPv6: rpcwarden answers only over IPv4"))
        }

        @Test("a socket in rpcwarden.yaml that rpcbind.socket hasn't got stands in the way; /var/run is /run")
        func otherSocket() throws {
            let host = try host()
            var facts = host.survey().setupFacts()
            facts.host.expected.rpcbindSocket = "/var/run/rpcbind.sock"
            #expect(SetupPlan.setup(facts).obstacles == [])
            facts.host.expected.rpcbindSocket = "/srv/rpcbind.sock"
            #expect(SetupPlan.setup(facts).obstacles.first?.contains("rpcwarden.yaml expects rpcbind at /srv") == true)
        }

        @Test("the drop-ins are those of systemd/, and what setup writes is read without errors")
        func texts() throws {
            let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
                "../../..")
            for (name, text) in [("socket", Self.socketText), ("service", SetupFiles.serviceDropInText)] {
                let dropIn = repository.appendingPathComponent("systemd/rpcbind.\(name).d/rpcwarden.conf")
                #expect(try String(contentsOf: dropIn, encoding: .utf8) == text)
            }
            let host = try FakeHost()
            try host.write(SetupFiles.configuration, SetupFiles.configurationText)
            try host.write(SetupFiles.policy, SetupFiles.policyText)
            let load = PolicyLoader().load(configurationPath: host.root + SetupFiles.configuration)
            #expect(
                !load.hasErrors && load.diagnostics.allSatisfy { $0.description.contains("the policy has no rules") })
            #expect(load.settings.mode == .observe && load.filesRead.count == 2)
        }
    }
}
