import Addresses
import Foundation
import HostPosture
import HostSurvey
import Portmapper
import Testing

/// Serialized: a stub can't be executed while another test's child, just forked, still has it open for writing.
@Suite("fake hosts", .serialized) enum FakeHostTests {}

/// A host made of files below a temporary folder, with stubs for its commands; removed with its last reference.
final class FakeHost {
    let folder: String
    let root: String
    let bin: String
    /// State of the stubs: the files `UNIT.enablement` and `UNIT.activity` for each unit, and `calls`.
    let state: String
    private var rpcbind: FakeRpcbind?

    init() throws {
        folder = NSTemporaryDirectory() + "rpcwarden-host-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        (root, bin, state) = (folder + "/root", folder + "/bin", folder + "/state")
        for path in [root, bin, state] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        try write("/etc/passwd", "root:x:0:0::/:/bin/sh\n")
    }

    deinit {
        rpcbind?.stop()
        _ = try? FileManager.default.removeItem(atPath: folder)
    }

    func write(_ path: String, _ text: String) throws { try put(root + path, text) }

    func put(_ path: String, _ text: String) throws {
        let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        try text.write(toFile: path, atomically: false, encoding: .utf8)
    }

    func stub(_ name: String, _ script: String) throws {
        try put("\(bin)/\(name)", "#!/bin/sh\necho \"\(name) $*\" >>\(state)/calls\n" + script)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: "\(bin)/\(name)")
    }

    func set(_ unit: String, _ enablement: String, _ activity: String) throws {
        try put("\(state)/\(unit).enablement", enablement + "\n")
        try put("\(state)/\(unit).activity", activity + "\n")
    }

    /// The commands so far that may have changed the host.
    var changes: [String] {
        ((try? String(contentsOfFile: "\(state)/calls", encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
            .filter {
                !$0.contains(" is-") && !($0 + " ").contains(" show ") && !$0.contains(" list ") && !$0.contains("rpm ")
            }
    }

    func serve(_ registrations: [RPCB]) throws {
        rpcbind = try FakeRpcbind(path: root + "/run/rpcbind.sock", registrations)
    }

    func survey(isRunning: Bool = true) -> HostSurvey {
        var expected = Expectations()
        let configuration = try? String(contentsOfFile: root + SetupFiles.configuration, encoding: .utf8)
        expected.isObserving = configuration?.contains("mode: observe") == true
        return HostSurvey(root: HostRoot(root), isRunning: isRunning, searchPath: bin, expected: expected)
    }

    func findings(isRunning: Bool = true) -> [Finding] { Examination(survey(isRunning: isRunning).facts()).findings }

    /// Every file and folder below the root; a file's value is its text.
    func tree() -> [String: String] {
        var tree: [String: String] = [:]
        for case let path as String in FileManager.default.enumerator(atPath: root) ?? .init() {
            tree[path] = (try? String(contentsOfFile: "\(root)/\(path)", encoding: .utf8)) ?? "a folder"
        }
        return tree
    }
}

extension FakeHost {
    /// Adds a stub of systemctl with the commands that doctor and setup use.
    func addSystemctl(dependents: String = "") throws {
        try write("/run/systemd/system/.keep", "")
        try put("\(state)/stock", Self.stock.joined(separator: "\n"))
        try stub(
            "systemctl",
            """
            case $1 in --root=*) shift ;; esac
            verb=$1; shift
            [ ! -e \(state)/fails.$verb ] || { echo "Failed to $verb" >&2; exit 1; }
            now=
            case $verb in
            is-enabled) read word <\(state)/$1.enablement || exit 1; echo $word ;;
            is-active) word=inactive; [ -e \(state)/$1.activity ] && read word <\(state)/$1.activity; echo $word
                [ $word = active ] || exit 3 ;;
            show)
                case "$*" in
                *Transparent*) [ ! -e \(state)/transparent ] || /bin/cat \(state)/transparent ;;
                *) echo "\(dependents)" ;;
                esac ;;
            daemon-reload) ;;
            *)
                for unit; do
                    case $verb.$unit in
                    *.--now) now=yes; continue ;;
                    enable.*) echo enabled >\(state)/$unit.enablement ;;
                    disable.*) echo disabled >\(state)/$unit.enablement ;;
                    stop.*) echo inactive >\(state)/$unit.activity ;;
                    start.*|restart.*) echo active >\(state)/$unit.activity ;;
                    esac
                    [ -z "$now" ] || echo active >\(state)/$unit.activity
                    if [ $verb.$unit = restart.rpcbind.socket ]; then
                        moved=stock
                        [ ! -e \(root)/etc/systemd/system/rpcbind.socket.d/rpcwarden.conf ] || moved=moved
                        /bin/rm -f \(root)/proc/77/ns/net
                        [ ! -e \(root)/etc/systemd/system/rpcbind.service.d/rpcwarden.conf ] ||
                            /bin/ln -s 'net:[2]' \(root)/proc/77/ns/net
                        for file in tcp tcp6 udp udp6; do
                            /bin/cp \(state)/net.$moved.$file \(root)/proc/net/$file
                        done
                    fi
                done ;;
            esac
            """)
    }

    /// Writes `/proc/net` in the kernel's format, with rpcbind at these IPv4 addresses (TCP and UDP).
    func listen(at addresses: [String], inode: Int = 100, as name: String = "", writing folder: String? = nil) throws {
        for (file, state) in [("tcp", "0A"), ("udp", "07")] {
            let lines = addresses.enumerated().map { index, address in
                "   \(index): \(address) 00000000:0000 \(state) 00000000:00000000 00:00000000 00000000     0        0 \(inode) 1 0"
            }
            let text = (["  sl  local_address rem_address   st"] + lines).joined(separator: "\n") + "\n"
            for (name, text) in [(file, text), (file + "6", "  sl\n")] {
                if let folder { try put("\(folder)\(name)", text) } else { try write("/proc/net/\(name)", text) }
            }
        }
    }

    static let everywhere = "00000000:006F"
    static let stock = [everywhere]

    /// Adds a process with one socket.
    func addProcess(_ pid: Int, _ name: String, _ arguments: [String], inode: Int) throws {
        try write("/proc/\(pid)/comm", name + "\n")
        try write("/proc/\(pid)/status", "Name:\t\(name)\nUid:\t0\t0\t0\t0\n")
        try write("/proc/\(pid)/cmdline", ([name] + arguments).joined(separator: "\0") + "\0")
        try FileManager.default.createDirectory(atPath: "\(root)/proc/\(pid)/fd", withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: "\(root)/proc/\(pid)/fd/4", withDestinationPath: "socket:[\(inode)]")
    }

    /// A host with rpcbind as distributions install it, running on port 111, and with rpcwarden's units installed.
    static func stock(
        release: String = "ID=debian\n", units folder: String = "/lib/systemd/system",
        options: [String] = ["-f", "-w"],
        dependents: String = ""
    ) throws -> FakeHost {
        let host = try FakeHost()
        try host.write("/etc/os-release", release)
        try host.addSystemctl(dependents: dependents)
        try host.stub("rpcwarden", "[ ! -e \(host.state)/fails.unload ] || { echo 'the guard stays' >&2; exit 1; }\n")
        try host.write("\(folder)/rpcbind.socket", socketUnit)
        try host.write(
            "\(folder)/rpcbind.service", "[Service]\nExecStart=/sbin/rpcbind \(options.joined(separator: " "))\n")
        for unit in SetupFiles.units { try host.write("\(folder)/\(unit)", "[Unit]\n") }
        for unit in ["rpcbind.socket", "rpcbind.service"] { try host.set(unit, "enabled", "active") }
        for unit in SetupFiles.units { try host.set(unit, "disabled", "inactive") }
        try host.write("/etc/services", services)
        try host.write("/proc/net/if_inet6", "")
        try host.addProcess(77, "rpcbind", options, inode: 100)
        try FileManager.default.createDirectory(atPath: "\(host.root)/proc/77/ns", withIntermediateDirectories: true)
        try host.listen(at: stock)
        try host.listen(at: stock, writing: "\(host.state)/net.stock.")
        try host.listen(at: [], writing: "\(host.state)/net.moved.")
        return host
    }

    static let services = """
        ssh     22/tcp
        sunrpc  111/tcp   portmapper   # RPC 4.0 portmapper
        sunrpc  111/udp   portmapper

        """

    static let socketUnit = """
        [Socket]
        ListenStream=/run/rpcbind.sock
        BindIPv6Only=ipv6-only
        ListenStream=0.0.0.0:111
        ListenDatagram=0.0.0.0:111
        ListenStream=[::]:111
        ListenDatagram=[::]:111

        """
}

extension RPCB {
    static func service(_ program: UInt32, _ version: UInt32, port: UInt16 = 2049, owner: String = "superuser") -> Self
    {
        RPCB(
            program: Program(program), version: version, netID: "tcp",
            address: UniversalAddress(host: .v4(0), port: port).description, owner: owner)
    }
}

extension NFSConfiguration {
    init(_ texts: [String]) { self.init(NFSConfLine.lines(texts.map { ("/etc/nfs.conf", $0) })) }
}

extension HelperPorts {
    mutating func read(nfsConf text: String, file: String) { read(nfsConf: NFSConfLine.lines([(file, text)])) }
}
