import Addresses
import Testing

@testable import HostPosture

@Suite("what a host's files say") struct ReadingTests {
    @Test("listening sockets are read as the kernel prints them, and others are not")
    func sockets() {
        let text = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:0457 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 525 1 0 100 0 0 10 0
               1: 00000000:006F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 526 1 0 100 0 0 10 0
               2: 0100007F:0016 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 527 1 0 100 0 0 10 0
               3: nonsense
            """
        #expect(
            BoundSocket.sockets(procNet: text, .tcp) == [
                BoundSocket(ServicePort(.tcp, 1111), at: .v4(0x7f00_0001), inode: 525),
                BoundSocket(ServicePort(.tcp, 111), at: .v4(0), inode: 526),
            ])
        let six = """
              sl
               0: 00000000000000000000000001000000:0457 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 7 2 0 0
               1: 00000000000000000000000000000000:006F 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 8 2 0 0
            """
        let found = BoundSocket.sockets(procNet: six, .udp)
        #expect(found.map(\.text) == ["udp [::1]:1111", "udp [::]:111"])
        #expect(found.map(\.isReachable) == [false, true])
    }

    @Test("a socket unit's drop-in takes back what stands before it")
    func socketUnit() throws {
        let stock = SocketUnit([FakeHost.socketUnit])
        #expect(stock.exposesPortmapper.count == 4 && !stock.hasUnixSocketsAlone)
        let alone = SocketUnit([FakeHost.socketUnit, SetupFiles.socketDropInText(stock.unixSockets)])
        #expect(
            alone.exposesPortmapper.isEmpty && alone.hasUnixSocketsAlone && alone.listens == ["tcp /run/rpcbind.sock"])
        #expect(SocketUnit(["ListenStream=111"]).exposesPortmapper == ["tcp 111"])
        #expect(SocketUnit(["ListenStream=127.0.0.1:111\nListenStream=[::1]:111"]).exposesPortmapper.isEmpty)
    }

    @Test(
        "unix sockets are paths and abstract names; anything else is a port, also at loopback",
        arguments: [
            (
                "ListenStream=@/run/rpcbind.sock\nListenStream=/run/rpcbind.sock",
                ["@/run/rpcbind.sock", "/run/rpcbind.sock"], true
            ),
            ("ListenStream=@/run/rpcbind.sock", ["@/run/rpcbind.sock"], false), ("", [], false),
            ("ListenStream=/run/rpcbind.sock\nListenStream=127.0.0.1:1111", ["/run/rpcbind.sock"], false),
            ("ListenStream=/run/rpcbind.sock\nListenDatagram=[::1]:111", ["/run/rpcbind.sock"], false),
            ("ListenStream=/run/rpcbind.sock\nListenStream=111", ["/run/rpcbind.sock"], false),
        ] as [(String, [String], Bool)])
    func unixSockets(text: String, expected: [String], isAlone: Bool) {
        let unit = SocketUnit([text])
        #expect(unit.unixSockets == expected && unit.hasUnixSocketsAlone == isAlone)
    }

    @Test(
        "whether a service has a network of its own: the last word counts, and nonsense is none",
        arguments: [
            (["[Service]\nPrivateNetwork=yes"], true), (["PrivateNetwork = on", "PrivateNetwork=no"], false),
            (["PrivateNetwork=1", "PrivateNetwork=perhaps\n"], true), (["# PrivateNetwork=yes"], false), ([], false),
            (["[Service]\nExecStart=/sbin/rpcbind", SetupFiles.serviceDropInText], true),
        ] as [([String], Bool)])
    func privateNetwork(texts: [String], expected: Bool) {
        #expect(ServiceUnit(texts).hasPrivateNetwork == expected)
    }

    @Test(
        "/etc/services has sunrpc for TCP and UDP, by name or as an alias",
        arguments: [
            ([FakeHost.services], true), (["rpcbind 111/tcp sunrpc\nrpcbind\t111/udp sunrpc # x\n"], true),
            (["sunrpc 111/tcp\n", "sunrpc 111/udp"], true), (["sunrpc 111/tcp\n# sunrpc 111/udp"], false),
            (["ssh 22/tcp"], false), ([], false),
        ] as [([String], Bool)])
    func services(texts: [String], expected: Bool) {
        #expect(Services(texts).hasSunrpc == expected)
    }

    @Test(
        "rpcbind's options come from its unit and environment files",
        arguments: [
            // Debian 12; /etc/default/rpcbind is intended to take precedence.
            (
                "Environment=\"OPTIONS=-w\"\nExecStart=/sbin/rpcbind -f $OPTIONS\n"
                    + "EnvironmentFile=-/etc/rpcbind.conf\nEnvironmentFile=-/etc/default/rpcbind",
                ["/etc/default/rpcbind": "# OPTIONS=\"-r\"\nOPTIONS=\"\"\nOPTIONS=\"-w -l\"\n"], ["-f", "-w", "-l"]
            ),
            // RHEL
            (
                "EnvironmentFile=/etc/sysconfig/rpcbind\nExecStart=/usr/bin/rpcbind $RPCBIND_ARGS -w -f",
                ["/etc/sysconfig/rpcbind": "RPCBIND_ARGS=\"-r\"\n"], ["-r", "-w", "-f"]
            ),
            ("ExecStart=/sbin/rpcbind -f\nExecStart=\nExecStart=/sbin/rpcbind -w ${NONE}", [:], ["-w"]),
        ] as [(String, [String: String], [String])])
    func rpcbindOptions(unit: String, files: [String: String], expected: [String]) {
        #expect(RpcbindOptions.read(unit: unit) { files[$0] } == expected)
    }

    @Test(
        "an option is found alone and among others, and -h's value is none",
        arguments: [
            (["-r"], true), (["-wr"], true), (["-w", "-h", "-r"], false), (["-hr"], false), (["-w"], false),
            ([], false),
            (["-h", "::1", "-r"], true),
        ])
    func option(words: [String], expected: Bool) {
        #expect(RpcbindOptions.has("r", in: words) == expected)
    }

    @Test("nfs.conf's vers3 counts in [nfsd] alone, and the last file wins")
    func nfsConfiguration() {
        #expect(NFSConfiguration(["[nfsd]\n# vers3=n\n"]).servesVersion3 == nil)
        #expect(NFSConfiguration(["[mountd]\nvers3=n\n[nfsd]\n threads=8\n"]).servesVersion3 == nil)
        #expect(NFSConfiguration(["[nfsd]\n vers3 = n # no\n"]).servesVersion3 == false)
        #expect(NFSConfiguration(["[nfsd]\nvers3=n\n", "[nfsd]\nvers3=y\n"]).servesVersion3 == true)
    }

    @Test(
        "nfs.conf's values may be quoted, or come from [environment]; what is neither a yes nor a no is not known",
        arguments: [
            ("\"y\"", true), ("'yes' ; why", true), ("on;", true), ("'n'", false), ("OFF", false), ("\"n", nil),
            ("perhaps", nil), ("", nil), ("$NFS3", false), ("$nobody", nil), ("$LOOP", nil),
        ] as [(String, Bool?)])
    func nfsValues(value: String, expected: Bool?) {
        let environment = "[environment]\nNFS3=\"no\"\nLOOP=$LOOP\n"
        let text = environment + "[nfsd \"other\"]\nvers3=n\n[nfsd]\n; vers3=n\nvers3=\(value)\n"
        #expect(NFSConfiguration([text]).servesVersion3 == expected)
    }

    @Test("nfs.conf includes files beside it, which inherit the section, and go no deeper than a limit")
    func nfsInclude() {
        let files = ["/etc/nfs/site": "vers3=n\n[mountd]\nport=1\ninclude=/etc/nfs/site\n"]
        let lines = NFSConfLine.lines([("/etc/nfs.conf", "[nfsd]\ninclude = -nfs/site\nthreads=8\n")]) { files[$0] }
        #expect(NFSConfiguration(lines).servesVersion3 == false && lines.last?.section == "nfsd")
        #expect(lines.first == NFSConfLine(section: "nfsd", key: "vers3", value: "n", file: "/etc/nfs/site"))
    }

    @Test("nfs.conf that includes itself many times is read in a moment")
    func manyIncludes() {
        let text = "[nfsd]\n" + String(repeating: "include = nfs.conf\n", count: 30) + "vers3 = y\n"
        let lines = NFSConfLine.lines([("/etc/nfs.conf", text)]) { _ in text }
        #expect((1...65).contains(lines.count) && lines.allSatisfy { $0.key == "vers3" })
    }

    @Test("dpkg's status tells whether rpcbind is installed, and what depends on it")
    func packages() {
        func status(_ name: String, _ state: String, _ depends: String) -> String {
            "Package: \(name)\nStatus: install ok \(state)\nDepends: \(depends)\nDescription: rpcbind\n x\n"
        }
        let common = status("nfs-common", "installed", "libc6 (>= 2.34), rpcbind, adduser")
        let rpcbind = status("rpcbind", "installed", "libc6")
        let removed = status("nis", "config-files", "rpcbind")
        let unlike = status("other", "installed", "rpcbind-tools (>= 1)")
        let all = [common, rpcbind, removed, unlike].joined(separator: "\n")
        #expect(PackageList.package("rpcbind", dpkgStatus: all) == .installed(neededBy: ["nfs-common"]))
        #expect(PackageList.package("rpcbind", dpkgStatus: common) == .absent)
        let gone = "Package: rpcbind\nStatus: deinstall ok config-files\n"
        #expect(PackageList.package("rpcbind", dpkgStatus: gone) == .absent)
    }

    @Test("what setup did is remembered and read back, also when the last line was cut short")
    func record() {
        var record = SetupRecord()
        for entry in [
            SetupRecord.Entry.folder("/etc/rpcwarden"), .file("/etc/a b", mark: "x"), .user("rpcwarden"),
            .enabled("rpcwarden.socket"), .file("/etc/a b", mark: "y"),
        ] { record.add(entry) }
        #expect(record.entries.count == 4)
        #expect(SetupRecord(text: record.text) == record)
        #expect(SetupRecord(text: record.text + "file 0123").entries == record.entries)
        #expect(SetupRecord.mark(of: "a".utf8) == "af63dc4c8601ec8c")
    }
}
