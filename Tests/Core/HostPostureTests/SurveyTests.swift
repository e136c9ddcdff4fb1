import Foundation
import Portmapper
import Testing

@testable import HostPosture
@testable import HostSurvey

extension FakeHostTests {
    @Suite("doctor on fake hosts") struct SurveyTests {
        private static let dpkg = """
            Package: rpcbind
            Status: install ok installed

            Package: nfs-common
            Status: install ok installed
            Depends: libc6, rpcbind

            """

        @Test("Debian: exposed, needed by NFSv3, package by dpkg, units by systemctl")
        func debian() throws {
            let host = try FakeHost.stock(release: "ID=ubuntu\nID_LIKE=debian\n")
            try host.write("/var/lib/dpkg/status", Self.dpkg)
            try host.serve([.service(100_003, 3), .service(100_005, 3, port: 111)])
            let facts = host.survey().facts()
            #expect(facts.family == .debian && facts.serviceManager == .systemd && !facts.isContainer)
            #expect(facts.package == .installed(neededBy: ["nfs-common"]))
            #expect(facts.unit("rpcbind.socket") == UnitState(enablement: "enabled", activity: "active"))
            #expect(facts.registrations?.map(\.program) == [.nfs, .mountd])
            let exposed = try #require(Examination(facts).findings.first)
            #expect(exposed.finding == "rpcbind-exposed" && exposed.what.contains("tcp 0.0.0.0:111, udp 0.0.0.0:111"))
            #expect(exposed.mend == ["rpcwarden setup --dry-run", "rpcwarden setup"])
        }

        @Test(
            "RHEL and SUSE: package and dependants by rpm, options of sysconfig",
            arguments: [
                ("ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\n", HostFacts.Family.redHat, "dnf remove rpcbind"),
                ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", .suse, "zypper remove rpcbind"),
            ])
        func rpm(release: String, family: HostFacts.Family, purge: String) throws {
            let host = try FakeHost.stock(
                release: release, units: "/usr/lib/systemd/system", options: ["-w", "-f", "$RPCBIND_ARGS"])
            try host.write(
                "/usr/lib/systemd/system/rpcbind.service",
                "[Service]\nEnvironmentFile=/etc/sysconfig/rpcbind\nExecStart=/usr/bin/rpcbind -w -f $RPCBIND_ARGS\n")
            try host.write("/etc/sysconfig/rpcbind", "RPCBIND_ARGS=\"-r\"\n")
            try FileManager.default.removeItem(atPath: host.root + "/proc/77")
            try host.serve([])
            let query = "case $* in *whatrequires*)"
            try host.stub(
                "rpm", "\(query) echo 'no package requires rpcbind'; exit 1 ;; *) echo rpcbind-1.2.6 ;; esac\n")
            var facts = host.survey().facts()
            #expect(facts.family == family && facts.package == .installed(neededBy: []))
            #expect(facts.rpcbindOptions == ["-w", "-f", "-r"])
            let findings = Examination(facts).findings
            #expect(findings.contains { $0.finding == "remote-calls" })
            #expect(findings.first { $0.finding == "rpcbind-not-needed" }?.mend.last == purge)

            try host.stub(
                "rpm", "\(query) printf 'nfs-utils\\nlibvirt\\nnfs-utils\\n' ;; *) echo rpcbind-1.2.6 ;; esac\n")
            #expect(host.survey().facts().package == .installed(neededBy: ["libvirt", "nfs-utils"]))
            try host.stub("rpm", "echo 'package rpcbind is not installed'; exit 1\n")
            facts = host.survey().facts()
            #expect(facts.package == .absent)
        }

        @Test("a container is known by its marks, and its systemctl that can't answer does no harm")
        func container() throws {
            let host = try FakeHost.stock()
            try host.write("/run/.containerenv", "")
            try host.stub("systemctl", "echo 'System has not been booted with systemd' >&2\nexit 1\n")
            try host.serve([.service(100_003, 3)])
            let findings = host.findings()
            #expect(findings.contains { $0.finding == "container" && $0.severity == .note })
            #expect(findings.first?.finding == "rpcbind-exposed")
        }

        @Test("no systemd: start files of SysV and OpenRC, and their commands")
        func noSystemd() throws {
            let host = try FakeHost()
            try host.write("/etc/os-release", "ID=debian\n")
            try host.write("/var/lib/dpkg/status", Self.dpkg)
            try host.write("/etc/init.d/rpcbind", "")
            try host.write("/etc/rcS.d/S01rpcbind", "")
            try host.write("/sbin/init", "")
            var idle = try #require(host.findings().first)
            #expect(idle.finding == "rpcbind-in-use" && idle.what.contains("/etc/rcS.d/S01rpcbind"))
            #expect(idle.mend.contains("service rpcbind stop") && idle.mend.contains("update-rc.d rpcbind disable"))

            try host.write("/run/openrc/softlevel", "default")
            try host.write("/etc/runlevels/default/rpcbind", "")
            idle = try #require(host.findings().first)
            #expect(idle.mend.contains("rc-service rpcbind stop") && idle.mend.contains("rc-update del rpcbind"))
        }

        @Test("an image: units by systemctl --root, and nothing of what runs here")
        func image() throws {
            let host = try FakeHost.stock()
            try host.write("/lib/systemd/systemd", "")
            try host.write("/var/lib/dpkg/status", Self.dpkg)
            let facts = host.survey(isRunning: false).facts()
            #expect(facts.serviceManager == .systemd && facts.sockets == [] && facts.registrations == nil)
            let findings = Examination(facts).findings
            #expect(findings.map(\.finding) == ["rpcbind-exposed"])
            #expect(findings[0].what.contains("will listen at tcp 0.0.0.0:111"))
            #expect(findings[0].mend.last == "rpcwarden setup --root \(host.root)")
            let calls = try String(contentsOfFile: "\(host.state)/calls", encoding: .utf8)
            #expect(calls.split(separator: "\n").allSatisfy { $0.contains("--root=\(host.root)") })
        }

        @Test("a drop-in of /etc counts, and one of the same name below it doesn't")
        func dropIns() throws {
            let host = try FakeHost.stock()
            try host.write("/lib/systemd/system/rpcbind.socket.d/rpcwarden.conf", "[Socket]\nListenStream=\n")
            #expect(host.survey().facts().socketUnit?.listens == [])
            try host.write(SetupFiles.socketDropIn, SetupFiles.socketDropInText([SetupFiles.rpcbindSocket]))
            var facts = host.survey().facts()
            #expect(facts.socketUnit?.hasUnixSocketsAlone == true && facts.laterPorts == [])
            #expect(facts.socketUnitOfOthers?.exposesPortmapper.count == 4)
            try host.write("/etc/systemd/system/rpcbind.socket.d/site.conf", "[Socket]\nListenStream=10.0.0.1:111\n")
            facts = host.survey().facts()
            #expect(facts.laterPorts == ["site.conf"] && facts.socketUnit?.hasUnixSocketsAlone == false)
        }

        @Test("an rpcbind in another network is ours if it has our files or our socket; a container's is not")
        func networks() throws {
            let host = try FakeHost.stock()
            func link(_ place: String, _ target: String) throws {
                try FileManager.default.createDirectory(
                    atPath: "\(host.root)/proc/\(place.prefix { $0 != "/" })/ns", withIntermediateDirectories: true)
                try FileManager.default.createSymbolicLink(
                    atPath: "\(host.root)/proc/\(place)", withDestinationPath: target)
            }
            for (process, network, files) in [("self", 1, 1), ("77", 2, 2)] {
                try link("\(process)/ns/net", "net:[\(network)]")
                try link("\(process)/ns/mnt", "mnt:[\(files)]")
            }
            #expect(host.survey().facts().rpcbindNetwork == nil, "a container's")
            // systemd made the socket and passed it to rpcbind.
            try host.write(
                "/proc/net/unix",
                "Num Path\n0000: 00000002 00000000 00010000 0001 01 100 /run/rpcbind.sock\n0000: 2 0 0 1 1 101\n")
            let facts = host.survey().facts()
            #expect(facts.rpcbindNetwork == .empty && facts.rpcbindOptions == ["-f", "-w"])
            // `unshare -n rpcbind` made the socket itself, and /proc/net does not list it.
            try host.write("/proc/net/unix", "")
            try FileManager.default.removeItem(atPath: "\(host.root)/proc/77/ns/mnt")
            try link("77/ns/mnt", "mnt:[1]")
            let heading = "Inter-| Receive\n face |bytes\n    lo: 0 0\n"
            try host.write("/proc/77/net/dev", heading)
            #expect(host.survey().facts().rpcbindNetwork == .empty)
            try host.write("/proc/77/net/dev", heading + "  eth0: 0 0\n")
            #expect(host.survey().facts().rpcbindNetwork == .ofHost)
        }

        @Test("a process of another user is no rpcbind, unless it has port 111")
        func foreignName() throws {
            let host = try FakeHost()
            try host.addProcess(88, "rpcbind", ["-r"], inode: 200)
            try host.write("/proc/88/status", "Uid:\t1000\t1000\t1000\t1000\n")
            try host.listen(at: ["00000000:1770"], inode: 200)
            var facts = host.survey().facts()
            #expect(facts.rpcbindNetwork == nil && facts.rpcbindOptions == nil)
            #expect(facts.sockets.allSatisfy { $0.holders.isEmpty })
            try host.write("/etc/passwd", "_rpc:x:1000:65534::/run/rpcbind:/usr/sbin/nologin\n")
            #expect(host.survey().facts().rpcbindNetwork == .ofHost)
            try host.write("/etc/passwd", "")
            try host.listen(at: FakeHost.stock, inode: 200)
            facts = host.survey().facts()
            #expect(facts.rpcbindNetwork == .ofHost && facts.sockets.contains { $0.holders == ["rpcbind"] })
        }

        @Test("an image's links stay in the image, also absolute ones; a unit that is masked is empty")
        func linksOfImages() throws {
            let host = try FakeHost()
            func link(_ path: String, _ target: String) throws {
                try host.write(path + ".keep", "")
                try FileManager.default.createSymbolicLink(atPath: host.root + path, withDestinationPath: target)
            }
            try host.write("/opt/vendor/release", "ID=debian\n")
            try host.write("/etc/x", "")
            try link("/etc/vendor", "/opt/vendor")
            try link("/etc/os-release", "/etc/vendor/../../opt/./vendor/release")
            let root = HostRoot(host.root)
            #expect(root.text("/etc/os-release") == "ID=debian\n" && root.names("/etc/vendor") == ["release"])
            // Outside of the image both exist.
            try link("/etc/escape", "../../../../../../proc/self/status")
            try link("/etc/outside", "/proc/self/status")
            for path in ["/etc/escape", "/etc/outside"] { #expect(root.text(path) == nil && !root.exists(path)) }
            try link("/etc/loop", "loop")
            #expect(!root.exists("/etc/loop") && root.hasEntry("/etc/loop"))
            try link("/etc/runlevels/default/rpcbind", "/etc/init.d/rpcbind")
            try host.write("/sbin/openrc", "")
            #expect(host.survey(isRunning: false).facts().startFiles == ["/etc/runlevels/default/rpcbind"])
            try host.write("/lib/systemd/system/rpcbind.socket", FakeHost.socketUnit)
            try link("/etc/systemd/system/rpcbind.socket", "/dev/null")
            #expect(host.survey(isRunning: false).facts().socketUnit?.listens == [])
        }

        @Test("an answer longer than is read is not taken for silence, nor for lost registrations")
        func tooMany() throws {
            let host = try FakeHost.stock()
            try host.serve([.service(100_003, 3)])
            let survey = host.survey()
            var runner = SetupRunner(survey, survey.setupFacts())
            try host.serve((1...100_000).map { .service(0x2000_0000 + $0, 1, port: 4000) })
            let facts = host.survey().facts()
            #expect(facts.registrations == nil && facts.hasTooManyRegistrations)
            let left = try runner.carryOut(.compareRegistrations, recording: [])
            #expect(left?.contains("too many registrations to compare") == true)
        }

        @Test("NFS over RDMA is seen in nfsd's own list and among the registrations")
        func rdma() throws {
            let host = try FakeHost.stock()
            try host.write("/proc/fs/nfsd/portlist", "rdma 20049\ntcp 2049\n")
            let rdma = RPCB(program: .nfs, version: 3, netID: "rdma", address: "0.0.0.0.78.81", owner: "superuser")
            try host.serve([.service(100_003, 3), rdma])
            let facts = host.survey().facts()
            #expect(facts.nfsdListeners == ["rdma 20049", "tcp 2049"] && facts.rdmaRegistrations == ["rdma 20049"])
            #expect(facts.registrations?.contains { $0.service != nil } == true)
            #expect(Examination(facts).findings.contains { $0.finding == "rdma-unguarded" })
        }

        @Test("a kernel without IPv6, and one in which it is switched off, have none")
        func withoutIPv6() throws {
            let host = try FakeHost.stock()
            #expect(host.survey().facts().hasIPv6)
            try host.write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1\n")
            #expect(!host.survey().facts().hasIPv6)
            try host.write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0\n")
            try FileManager.default.removeItem(atPath: host.root + "/proc/net/if_inet6")
            #expect(!host.survey().facts().hasIPv6)
        }

        @Test("the kernel's modules tell what it can")
        func kernel() throws {
            let host = try FakeHost()
            try host.write("/proc/sys/kernel/osrelease", "6.1.0\n")
            #expect(host.survey().facts().kernel.hasNFTables == nil)
            try host.write("/lib/modules/6.1.0/modules.dep", "kernel/net/netfilter/nf_tables.ko: kernel/x.ko\n")
            let kernel = host.survey().facts().kernel
            #expect(kernel.hasNFTables == true && kernel.hasPacketLog == false)
            #expect(kernel.ownsTables == nil, "that is tried, not concluded from the version")
        }

        @Test("this host's own mounts of NFSv3 count, and those of NFSv4 don't")
        func mounts() throws {
            let host = try FakeHost()
            try host.write("/proc/mounts", "s:/a /a nfs4 rw,vers=4.2 0 0\ns:/b /b nfs rw,vers=4.1 0 0\n")
            #expect(!host.survey().facts().mountsOldNFS)
            try host.write("/proc/mounts", "s:/b /b nfs rw,vers=3,addr=10.0.0.1 0 0\n")
            #expect(host.survey().facts().mountsOldNFS)
        }

        @Test("a command that hangs is ended, and one that leaves children with its pipes isn't waited for")
        func patience() throws {
            let host = try FakeHost()
            try host.stub("hangs", "exec /bin/sleep 60\n")
            try host.stub("leaves", "/bin/sleep 3 &\necho said\necho wrong >&2\nexit 4\n")
            let start = ContinuousClock.now
            let hung = Subcommand(words: ["hangs"], searchPath: host.bin, patience: .milliseconds(200)).run()
            #expect(hung.status == 124)
            let left = Subcommand(words: ["leaves"], searchPath: host.bin).run()
            #expect(left.output == "said\n" && left.errors == "wrong\n" && left.status == 4)
            #expect(ContinuousClock.now - start < .seconds(2))
            #expect(Subcommand(words: ["missing"], searchPath: host.bin).run().status == 127)
        }
    }
}
