import Addresses
import Foundation
import Portmapper
import Testing

@testable import HostPosture
@testable import HostSurvey

@Suite("the ports of NFS's helpers, as files set them") struct HelperPortsTests {
    private func lockd(_ ports: HelperPorts) -> [UInt16?] { [ports[.lockdTCP]?.port, ports[.lockdUDP]?.port] }

    @Test("nfs.conf: a later file wins, 0 is none, and lockd's port is for both unless udp-port is set")
    func nfsConf() {
        var ports = HelperPorts()
        ports.read(
            nfsConf: "[mountd]\n# port=1\nPort = 892 # why\n[lockd]\nudp-port=32769\nport=32803\n[nfsd]\nport=9\n",
            file: "/etc/nfs.conf")
        #expect(ports[.mountd] == .init(port: 892, file: "/etc/nfs.conf") && ports[.statd] == nil)
        #expect(lockd(ports) == [32_803, 32_769])
        ports.read(nfsConf: "[mountd]\nport=0\n[lockd]\nport=4000\n[statd]\noutgoing-port=2020\n", file: "/b")
        #expect(ports[.mountd] == nil && ports[.statdCalls]?.port == 2020 && !ports.isFixed(.statd))
        #expect(lockd(ports) == [4000, 4000] && ports.isFixed(.lockd))
    }

    @Test("modprobe.d, and the kernel's command line")
    func module() {
        var ports = HelperPorts()
        ports.read(modprobe: "#options lockd nlm_tcpport=1\noptions lockd nlm_udpport=7 nlm_tcpport=8\n", file: "/m")
        #expect(lockd(ports) == [8, 7])
        ports.read(commandLine: "quiet lockd.nlm_tcpport=9 lockd.nlm_udpport=70000\n", file: "/proc/cmdline")
        #expect(lockd(ports) == [9, 7])
    }

    @Test(
        "rpc.rquotad's options",
        arguments: [
            ("RPCRQUOTADOPTS=\n", nil, nil), ("RPCRQUOTADOPTS=\"-p 875\"\n", 875, "-p 875"),
            ("RPCRQUOTADOPTS='-s --port=4000'\n", 4000, "-s --port=4000"), ("RPCRQUOTADOPTS=-p4001\n", 4001, "-p4001"),
            ("RPCRQUOTADOPTS=\"-p 875\"\nRPCRQUOTADOPTS=\"-S\"\n", nil, "-S"), ("#RPCRQUOTADOPTS=\"-p 1\"\n", nil, nil),
        ] as [(String, UInt16?, String?)])
    func rquotad(text: String, port: UInt16?, options: String?) {
        var ports = HelperPorts()
        ports.read(rquotad: text, file: "/etc/default/quota")
        #expect(ports[.rquotad]?.port == port && ports.rquotadOptions == options)
    }

    @Test("nfs-ganesha's configuration, with its own default for rquotad")
    func ganesha() {
        var ports = HelperPorts()
        ports.read(ganesha: "NFS_CORE_PARAM { # MNT_Port = 1;\n mnt_port=20048;\n NLM_Port = 0; }\n")
        #expect(ports[.mountd]?.port == 20_048 && ports[.rquotad]?.port == 875 && lockd(ports) == [nil, nil])
    }
}

extension FakeHostTests {
    @Suite("setup --pin on fake hosts") struct SetupPinTests {
        /// A Debian host with all of them, as distributed.
        private func host(_ programs: [String] = ["rpc.mountd", "rpc.statd", "rpc.rquotad"]) throws -> FakeHost {
            let host = try FakeHost.stock()
            for program in programs { try host.write("/usr/sbin/\(program)", "") }
            try host.write("/etc/nfs.conf", "[mountd]\nmanage-gids=y\n# port=0\n")
            try host.write("/etc/nfs.conf.d/.keep", "")
            try host.write("/etc/modprobe.d/.keep", "")
            try host.write("/etc/default/quota", Self.options)
            try host.stub("nft", "")
            try host.serve([])
            return host
        }

        private static let options = "# Add options to rpc.rquotad here\nRPCRQUOTADOPTS=\n"
        private static let nfsConf = "etc/nfs.conf.d/rpcwarden.conf"
        private static let modprobe = "etc/modprobe.d/rpcwarden-lockd.conf"

        private func plan(_ host: FakeHost, isRunning: Bool = true) -> SetupPlan {
            SetupPlan.pin(host.survey(isRunning: isRunning).setupFacts())
        }

        private func carryOut(_ host: FakeHost, isRunning: Bool = true, _ plan: (SetupFacts) -> SetupPlan) throws {
            let survey = host.survey(isRunning: isRunning)
            let facts = survey.setupFacts()
            let plan = plan(facts)
            #expect(plan.obstacles == [])
            var runner = SetupRunner(survey, facts)
            for case .act(let action, let entries) in plan.steps {
                #expect(try runner.carryOut(action, recording: entries) == nil)
            }
        }

        private func told(_ plan: SetupPlan) -> String {
            plan.steps.compactMap { step in
                switch step {
                case .act: nil
                case .alreadySo(let text), .note(let text), .left(let text): text
                }
            }.joined(separator: "\n")
        }

        @Test("gives all of them ports, tells what to restart and restarts nothing; again, it changes nothing")
        func pins() throws {
            let host = try host()
            let told = told(plan(host))
            #expect(
                told.contains("systemctl try-restart nfs-mountd.service rpc-statd.service quotarpc.service"), "\(told)")
            #expect(told.contains("sysctl -w fs.nfs.nlm_tcpport=32767 fs.nfs.nlm_udpport=32767"))
            try carryOut(host) { SetupPlan.pin($0) }
            #expect(host.changes == [])
            let tree = host.tree()
            #expect(
                tree[Self.nfsConf] == """
                    # Written by `rpcwarden setup --pin`.
                    [mountd]
                    port=20048
                    [statd]
                    port=32765
                    outgoing-port=32766
                    [sm-notify]
                    outgoing-port=32766
                    [lockd]
                    port=32767
                    udp-port=32767

                    """)
            #expect(tree[Self.modprobe]?.hasSuffix("options lockd nlm_tcpport=32767 nlm_udpport=32767\n") == true)
            #expect(
                tree["etc/default/quota"] == Self.options + """
                    # Written by `rpcwarden setup --pin`.
                    RPCRQUOTADOPTS="-p 32764"

                    """)
            #expect(plan(host).actions == [] && plan(host).obstacles == [] && plan(host).leftCount == 0)
            #expect(NFSHelper.allCases.allSatisfy(host.survey().facts().helperPorts.isFixed))
        }

        @Test("both ways of undoing take all of it back, and leave what is the administrator's")
        func undoes() throws {
            for undo in [SetupPlan.undoPin, SetupPlan.undo] {
                let host = try host()
                let before = host.tree()
                try carryOut(host) { SetupPlan.pin($0) }
                try host.write("/etc/default/quota", host.tree()["etc/default/quota", default: ""] + "run_warnquota=\n")
                try carryOut(host, undo)
                var after = host.tree()
                #expect(after.removeValue(forKey: "etc/default/quota") == Self.options + "run_warnquota=\n")
                for folder in ["var", "var/lib"] { #expect(after.removeValue(forKey: folder) == "a folder") }
                #expect(after == before.filter { $0.key != "etc/default/quota" })
                #expect(host.changes == [])
            }
        }

        @Test("setup --pin --undo leaves setup's own entries; edited files are kept")
        func undoesPinsAlone() throws {
            let host = try host()
            let other = SetupRecord(text: "folder /var/lib/rpcwarden\nenabled rpcwarden.socket\n")
            try host.write(SetupFiles.record, other.text)
            try carryOut(host) { SetupPlan.pin($0) }
            try host.write(SetupFiles.nfsConfPins, "[mountd]\nport=4002\n")
            #expect(told(plan(host)).contains("/etc/nfs.conf.d/rpcwarden.conf was edited since setup, and is kept"))
            try carryOut(host) { SetupPlan.undoPin($0) }
            #expect(host.tree()[Self.nfsConf] == "[mountd]\nport=4002\n" && host.tree()[Self.modprobe] == nil)
            #expect(host.tree()["var/lib/rpcwarden/setup"] == other.text)
            #expect(told(SetupPlan.undoPin(host.survey().setupFacts())).contains("nothing to undo"))
        }

        @Test("what the administrator has set is kept, and told; what is not installed gets nothing")
        func keeps() throws {
            let host = try host(["rpc.mountd", "rpc.statd"])
            try host.write("/etc/nfs.conf", "[mountd]\nport=892\n")
            try host.write("/etc/modprobe.d/local.conf", "options lockd nlm_tcpport=32803\n")
            let told = told(plan(host))
            #expect(told.contains("/etc/nfs.conf sets the port of rpc.mountd: 892"))
            #expect(told.contains("/etc/modprobe.d/local.conf sets the TCP port of lockd: 32803"))
            #expect(told.contains("/etc/modprobe.d/local.conf doesn't set the UDP port of lockd; add it there"))
            #expect(plan(host).leftCount == 1)
            try carryOut(host) { SetupPlan.pin($0) }
            let text = host.tree()[Self.nfsConf]
            #expect(
                text?.hasSuffix("pin`.\n[statd]\nport=32765\noutgoing-port=32766\n[sm-notify]\noutgoing-port=32766\n")
                    == true)
            #expect(host.tree()[Self.modprobe] == nil && host.tree()["etc/default/quota"] == Self.options)
        }

        @Test("a port that can't be read is the administrator's; so are those of sysctl.d, and of included files")
        func unreadable() throws {
            let host = try host(["rpc.mountd", "rpc.statd"])
            try host.write("/etc/nfs.conf", "[statd]\nport=$STATD_PORT\n[mountd]\ninclude=-site/mountd\n")
            try host.write("/etc/site/mountd", "port=\"892\"\n")
            try host.write("/usr/lib/sysctl.d/nfs.conf", "fs.nfs.nlm_tcpport = 1\n")
            try host.write("/etc/sysctl.d/nfs.conf", "-fs/nfs/nlm_tcpport=32803\nfs.nfs.nlm_udpport = 32769\n")
            let plan = plan(host)
            let told = told(plan)
            #expect(told.contains("/etc/site/mountd sets the port of rpc.mountd: 892"), "\(told)")
            #expect(told.contains("/etc/nfs.conf sets the port of rpc.statd: a value that setup can't read"))
            #expect(told.contains("/etc/sysctl.d/nfs.conf sets the TCP port of lockd: 32803"))
            #expect(plan.actions == [])
        }

        @Test("ports that lockd was given while it runs are those that the files get")
        func running() throws {
            let host = try host(["rpc.statd"])
            try host.write("/proc/sys/fs/nfs/nlm_tcpport", "32803\n")
            try host.write("/proc/sys/fs/nfs/nlm_udpport", "0\n")
            #expect(plan(host).actions.description.contains("nlm_tcpport=32803 nlm_udpport=32803"))
            try host.write("/proc/sys/fs/nfs/nlm_udpport", "32769\n")
            #expect(plan(host).actions.description.contains("nlm_tcpport=32803 nlm_udpport=32769"))
            #expect(plan(host, isRunning: false).actions.description.contains("nlm_tcpport=32767"))
        }

        @Test("the file of rpc.rquotad's options keeps owner, mode and place, and nothing else is touched")
        func foreignFile() throws {
            let host = try host(["rpc.rquotad"])
            let place = host.root + "/etc/default/quota"
            try host.write("/srv/quota", Self.options)
            try host.write("/etc/default/quota.new", "the administrator's\n")
            try FileManager.default.removeItem(atPath: place)
            try FileManager.default.createSymbolicLink(atPath: place, withDestinationPath: "../../srv/quota")
            #expect(chmod(host.root + "/srv/quota", 0o640) == 0)
            if geteuid() == 0 { #expect(chown(host.root + "/srv/quota", 33, 33) == 0) }
            try carryOut(host) { SetupPlan.pin($0) }
            #expect(host.tree()["srv/quota"]?.contains("RPCRQUOTADOPTS=\"-p 32764\"") == true)
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: place) == "../../srv/quota")
            #expect(host.tree()["etc/default/quota.new"] == "the administrator's\n")
            var status = stat()
            #expect(stat(host.root + "/srv/quota", &status) == 0 && status.st_mode & 0o7777 == 0o640)
            #expect(status.st_uid == (geteuid() == 0 ? 33 : geteuid()))
        }

        @Test("a pipe or a device in a file's place is not replaced, nor is a link to a missing file")
        func noFile() throws {
            let host = try host()
            let (place, pipe) = (host.root + "/etc/default/quota", host.root + "/etc/pipe")
            #expect(mkfifo(pipe, 0o600) == 0)
            let survey = host.survey()
            var runner = SetupRunner(survey, survey.setupFacts())
            for (target, reason) in [("../pipe", "it is no regular file"), ("missing", "it is a link to a missing")] {
                try FileManager.default.removeItem(atPath: place)
                try FileManager.default.createSymbolicLink(atPath: place, withDestinationPath: target)
                let error = #expect(throws: SetupRunner.Failure.self) {
                    try runner.carryOut(.writeFile(place, text: "x"), recording: [])
                }
                #expect(error?.description.contains("can't write \(place): \(reason)") == true, "\(target)")
                #expect(try FileManager.default.destinationOfSymbolicLink(atPath: place) == target)
            }
            var status = stat()
            #expect(stat(pipe, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
        }

        @Test("a helper that is installed later gets its port, and the others keep theirs")
        func later() throws {
            let host = try host(["rpc.mountd"])
            try carryOut(host) { SetupPlan.pin($0) }
            #expect(host.tree()[Self.nfsConf]?.hasSuffix("[mountd]\nport=20048\n") == true)
            try host.write("/usr/sbin/rpc.statd", "")
            // Their own ports are no obstacle, nor that mountd listens there now.
            try host.write("/etc/nfs.conf.d/rpcwarden.conf", host.tree()[Self.nfsConf] ?? "")
            try carryOut(host) { SetupPlan.pin($0) }
            #expect(host.tree()[Self.nfsConf]?.contains("[mountd]\nport=20048\n[statd]\nport=32765\n") == true)
        }

        @Test("options of rpc.rquotad are kept, and the one to add is told")
        func rquotadOptions() throws {
            let host = try host(["rpc.rquotad"])
            try host.write("/etc/default/quota", "RPCRQUOTADOPTS=\"-S\"\n")
            let plan = plan(host)
            #expect(plan.actions == [] && told(plan).contains("(-S). Add: -p 32764") && plan.leftCount == 1)
            var facts = host.survey().setupFacts()
            facts.host.helperPorts.read(rquotad: "RPCRQUOTADOPTS=\n", file: "/etc/default/quota")
            facts.files["/etc/default/quota"] = [0x23, 0xe4, 0x0a]
            #expect(SetupPlan.pin(facts).actions == [] && SetupPlan.pin(facts).leftCount == 1)
            #expect(told(SetupPlan.pin(facts)).contains("/etc/default/quota is not UTF-8, and is kept"))
        }

        @Test("what is left to the user is done once the user has done it: each line that is told is seen in its file")
        func leftIsDone() throws {
            let host = try host()
            for path in ["/etc/default/quota", "/etc/nfs.conf.d"] {
                try FileManager.default.removeItem(atPath: host.root + path)
            }
            try carryOut(host) { SetupPlan.pin($0) }
            let text = told(plan(host))
            #expect(plan(host).leftCount == 2, "\(text)")
            let rquotad = try #require(text.firstMatch(of: /make it with this line: (RPC.*)/))
            try host.write("/etc/default/quota", rquotad.1 + "\n")
            let lines = text.matches(of: #/ {4}\| (.*)/#).map(\.1)
            #expect(lines.contains("[mountd]") && lines.contains("port=20048"))
            try host.write("/etc/nfs.conf", lines.joined(separator: "\n") + "\n")
            let after = plan(host)
            #expect(after.leftCount == 0 && after.actions == [] && after.obstacles == [], "\(told(after))")
            #expect(NFSHelper.allCases.allSatisfy(host.survey().facts().helperPorts.isFixed))
        }

        @Test("Red Hat has rpc.rquotad's options, and its unit, under other names")
        func redHat() throws {
            let host = try host()
            try host.write("/etc/os-release", "ID=rhel\n")
            #expect(told(plan(host)).contains("/etc/sysconfig/rpc-rquotad, which has the options"))
            #expect(plan(host).leftCount == 1)
            try host.write("/etc/sysconfig/rpc-rquotad", "RPCRQUOTADOPTS=\"\"")
            #expect(told(plan(host)).contains("rpc-statd.service rpc-rquotad.service"))
            try carryOut(host) { SetupPlan.pin($0) }
            #expect(
                host.tree()["etc/sysconfig/rpc-rquotad"]
                    == "RPCRQUOTADOPTS=\"\"\n" + SetupFiles.rquotadLines(32_764))
            #expect(host.tree()["etc/default/quota"] == Self.options)
        }

        @Test("a port that is never granted, or that another holds, gives way to the next; which one, and why, is told")
        func taken() throws {
            let host = try host()
            var facts = host.survey().setupFacts()
            facts.host.expected.neverPorts = [22, 111, 32_767]
            facts.host.sockets = [
                BoundSocket(ServicePort(.udp, 20_048), at: .v4(0)), BoundSocket(ServicePort(.tcp, 32_765), at: .v4(0)),
            ]
            facts.host.registrations = [RPCB.service(100_024, 1, port: 32_765)].compactMap(Registration.init)
            let plan = SetupPlan.pin(facts)
            let told = told(plan)
            #expect(told.contains("the port of rpc.mountd is 32763: another process listens at udp/20048"), "\(told)")
            #expect(told.contains("the TCP port of lockd is 32762: 32767 is in firewall.never"))
            let text = plan.actions.map(\.description).joined()
            #expect(text.contains("[statd]\n    | port=32765\n"), "its own")
            #expect(text.contains("nlm_tcpport=32762 nlm_udpport=32762"))
            facts.host.expected.neverPorts = Set(32_700...32_768)
            #expect(SetupPlan.pin(facts).obstacles.contains { $0.contains("no port from 32700 to 32763 is free") })
            #expect(SetupPlan.pin(facts).actions == [])
        }

        @Test("where nothing is installed it says so; an old nfs-utils, and nfs-ganesha, are told what to write")
        func others() throws {
            let bare = try host([])
            #expect(plan(bare).obstacles.contains { $0.contains("there is nothing to pin") })
            let old = try host(["rpc.mountd"])
            try FileManager.default.removeItem(atPath: old.root + "/etc/nfs.conf.d")
            #expect(plan(old).actions == [] && told(plan(old)).contains("Add to /etc/nfs.conf"))
            #expect(told(plan(old)).contains("    | [mountd]\n    | port=20048") && plan(old).leftCount == 1)
            let ganesha = try host(["rpc.statd"])
            try ganesha.write(HelperPorts.ganeshaFile, "NFS_CORE_PARAM { }\n")
            let told = told(plan(ganesha))
            #expect(told.contains("NFS_CORE_PARAM { MNT_Port = 20048; NLM_Port = 32767; }"), "\(told)")
            #expect(plan(ganesha).leftCount == 1)
            try carryOut(ganesha) { SetupPlan.pin($0) }
            #expect(ganesha.tree()[Self.nfsConf]?.contains("[statd]") == true)
            #expect(ganesha.tree()[Self.modprobe] == nil)
        }

        @Test("an image gets the same files, and is told of no restart")
        func image() throws {
            let host = try host()
            try host.write("/usr/lib/systemd/systemd", "")
            #expect(!told(plan(host, isRunning: false)).contains("restart"))
            try carryOut(host, isRunning: false) { SetupPlan.pin($0) }
            #expect(host.tree()[Self.nfsConf]?.contains("port=20048") == true && host.changes == [])
            try carryOut(host, isRunning: false) { SetupPlan.undoPin($0) }
            #expect(host.tree()[Self.nfsConf] == nil)
        }

        @Test("doctor tells of registered helpers without a port, as a note, and no more once they have one")
        func doctor() throws {
            let host = try host()
            func found() -> [Finding] { host.findings().filter { $0.finding == "unpinned-ports" } }
            #expect(found() == [], "nothing is registered")
            try host.serve([.service(100_005, 3), .service(100_021, 4), .service(100_003, 3)])
            let finding = try #require(found().first)
            #expect(finding.severity == .note && finding.what.contains("rpc.mountd, lockd:"), "\(finding)")
            #expect(finding.mend.last == "rpcwarden setup --pin")
            try carryOut(host) { SetupPlan.pin($0) }
            #expect(found() == [])
        }
    }
}
