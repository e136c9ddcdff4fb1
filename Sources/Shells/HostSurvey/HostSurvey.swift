import Glibc
import HostPosture
import Portmapper

/// Examines a host: files beneath a root, the output of a few commands, and rpcbind's registrations.
public struct HostSurvey: Sendable {
    public var root: HostRoot
    /// `false`: the root is an image, and nothing in it runs.
    public var isRunning: Bool
    /// The search path for systemctl, nft and other commands.
    public var searchPath: String
    public var expected: Expectations

    public static let standardSearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    public init(
        root: HostRoot = HostRoot(), isRunning: Bool = true, searchPath: String = Self.standardSearchPath,
        expected: Expectations = Expectations()
    ) {
        self.root = root
        self.isRunning = isRunning
        self.searchPath = searchPath
        self.expected = expected
    }

    public func facts() -> HostFacts {
        var facts = HostFacts()
        facts.isRunning = isRunning
        facts.root = root.path
        facts.expected = expected
        facts.family = family
        facts.serviceManager = serviceManager
        facts.isContainer = isContainer
        let dpkgStatus = root.text("/var/lib/dpkg/status")
        facts.package = package(facts.family, dpkgStatus)
        facts.rpcbindVersion = dpkgStatus.flatMap { PackageList.version(of: "rpcbind", dpkgStatus: $0) }
        facts.units = units(facts.serviceManager)
        facts.startFiles = startFiles(facts.serviceManager)
        lookAtUnits(&facts)
        facts.hasSunrpc = Services(servicesTexts).hasSunrpc
        let nfsConf = nfsConf
        facts.nfs = NFSConfiguration(nfsConf)
        facts.helperPorts = helperPorts(facts.family, nfsConf)
        facts.rpcbindOptions = unitOptions
        guard isRunning else { return facts }
        // Asked first: if systemd holds rpcbind's socket, the question starts rpcbind.
        switch RegistrationQuestion(path: root.path + expected.rpcbindSocket).ask() {
        case .list(let list):
            facts.registrations = list.compactMap(Registration.init)
            facts.rdmaRegistrations = Self.rdma(list)
        case .tooLong: facts.hasTooManyRegistrations = true
        case .none: break
        }
        facts.nfsdListeners = (root.text("/proc/fs/nfsd/portlist") ?? "").split(separator: "\n").map(String.init)
        facts.hasIPv6 = hasIPv6
        let processes = ProcessTable(root: root, rpcbindSocket: expected.rpcbindSocket)
        facts.rpcbindNetwork = processes.networkOfRpcbind
        facts.sockets = processes.sockets()
        facts.rpcbindOptions = processes.optionsOfRpcbind ?? facts.rpcbindOptions
        facts.mountsOldNFS = mountsOldNFS
        facts.ruleset = ruleset
        facts.kernel = kernel(hasRuleset: facts.ruleset != nil)
        facts.gateway = expected.gateway.map(gateway)
        return facts
    }

    /// The running host's name; empty if it has none.
    public static var hostName: String {
        String((HostRoot().text("/proc/sys/kernel/hostname") ?? "").prefix { $0 != "\n" })
    }

    func command(_ words: String...) -> Subcommand.Result {
        Subcommand(words: words, searchPath: searchPath).run()
    }

    // MARK: The distribution

    private var family: HostFacts.Family {
        let release = root.text("/etc/os-release") ?? root.text("/usr/lib/os-release") ?? ""
        let names = release.split(separator: "\n").filter { $0.hasPrefix("ID=") || $0.hasPrefix("ID_LIKE=") }
            .flatMap { $0.split { !$0.isLetter && !$0.isNumber } }
        if names.contains("debian") || names.contains("ubuntu") { return .debian }
        if names.contains("suse") || names.contains("opensuse") || names.contains("sles") { return .suse }
        if names.contains("rhel") || names.contains("fedora") || names.contains("centos") { return .redHat }
        return .other
    }

    private var serviceManager: HostFacts.ServiceManager {
        // sd_booted(3); an image has no /run, but has the program.
        let isSystemd =
            isRunning
            ? root.isFolder("/run/systemd/system")
            : root.exists("/usr/lib/systemd/systemd") || root.exists("/lib/systemd/systemd")
        if isSystemd { return .systemd }
        if root.isFolder("/run/openrc") || root.exists("/sbin/openrc") { return .openRC }
        if root.isFolder("/etc/init.d"), root.exists("/sbin/init") || root.exists("/usr/sbin/init") { return .sysV }
        return .none
    }

    private var isContainer: Bool {
        root.exists("/run/.containerenv") || root.exists("/.dockerenv") || root.exists("/run/systemd/container")
            || (root.text("/proc/1/environ") ?? "").split(separator: "\0").contains { $0.hasPrefix("container=") }
    }

    private func package(_ family: HostFacts.Family, _ dpkgStatus: String?) -> HostFacts.Package {
        if let dpkgStatus { return PackageList.package("rpcbind", dpkgStatus: dpkgStatus) }
        guard family == .redHat || family == .suse else { return .unknown }
        let place = root.path.isEmpty ? "/" : root.path
        let query = command("rpm", "--root", place, "-q", "rpcbind")
        if query.output.contains("is not installed") { return .absent }
        guard query.isSuccess else { return .unknown }
        let needing = command("rpm", "--root", place, "-q", "--whatrequires", "--qf", "%{NAME}\\n", "rpcbind")
        let names = needing.isSuccess ? needing.output.split(separator: "\n").map(String.init) : []
        return .installed(neededBy: Set(names).sorted())
    }

    // MARK: Units and start files

    private func units(_ manager: HostFacts.ServiceManager) -> [String: UnitState] {
        guard manager == .systemd else { return [:] }
        return Dictionary(
            uniqueKeysWithValues: (["rpcbind.socket", "rpcbind.service"] + SetupFiles.units).map { ($0, unit($0)) })
    }

    private func unit(_ name: String) -> UnitState {
        let place = isRunning ? [] : ["--root=\(root.path)"]
        let enablement = Subcommand(words: ["systemctl"] + place + ["is-enabled", name], searchPath: searchPath).run()
        let activity = isRunning ? Self.word(command("systemctl", "is-active", name).output) : ""
        return UnitState(enablement: Self.word(enablement.output), activity: activity)
    }

    private static func word(_ output: String) -> String {
        output.split { $0 == "\n" || $0 == " " }.first.map(String.init) ?? ""
    }

    private func startFiles(_ manager: HostFacts.ServiceManager) -> [String] {
        switch manager {
        case .systemd, .none: []
        case .openRC: ["default", "boot"].map { "/etc/runlevels/\($0)/rpcbind" }.filter(root.hasEntry)
        case .sysV:
            ["rcS", "rc2", "rc3", "rc5"].flatMap { folder in
                ["/etc/\(folder).d", "/etc/rc.d/\(folder).d"].flatMap { place in
                    root.names(place).filter { $0.hasPrefix("S") && $0.hasSuffix("rpcbind") }.map { "\(place)/\($0)" }
                }
            }
        }
    }

    static let unitFolders = [
        "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ]

    func hasUnit(_ name: String) -> Bool { Self.unitFolders.contains { root.exists("\($0)/\(name)") } }

    /// The unit's file, then its drop-ins, as systemd.unit(5) orders them.
    func unitTexts(_ name: String) -> [String]? {
        guard let file = unitText(name) else { return nil }
        return [file] + dropIns(name).map(\.text)
    }

    private func unitText(_ name: String) -> String? {
        Self.unitFolders.lazy.compactMap { root.text("\($0)/\(name)") }.first
    }

    /// The drop-ins, sorted by name; if two folders have the same name, the first counts.
    private func dropIns(_ name: String) -> [(name: String, text: String)] {
        var dropIns: [String: String] = [:]
        for folder in Self.unitFolders.map({ "\($0)/\(name).d" }) {
            for entry in root.names(folder) where entry.hasSuffix(".conf") && dropIns[entry] == nil {
                dropIns[entry] = root.text("\(folder)/\(entry)")
            }
        }
        return dropIns.sorted { Self.precedes($0.key, $1.key) }.map { ($0.key, $0.value) }
    }

    private static func precedes(_ name: String, _ other: String) -> Bool {
        Array(name.utf8).lexicographicallyPrecedes(Array(other.utf8))
    }

    private func lookAtUnits(_ facts: inout HostFacts) {
        facts.serviceUnit = unitTexts("rpcbind.service").map(ServiceUnit.init)
        let socket = socketUnit("rpcbind.socket", without: SetupFiles.dropInName)
        facts.socketUnit = socket.whole
        facts.socketUnitOfOthers = socket.ofOthers
        facts.laterPorts = socket.laterPorts
    }

    /// A socket unit with and without one of its drop-ins, and the drop-ins behind that one that add ports.
    func socketUnit(_ name: String, without own: String) -> (
        whole: SocketUnit?, ofOthers: SocketUnit?, laterPorts: [String]
    ) {
        guard let file = unitText(name) else { return (nil, nil, []) }
        let dropIns = dropIns(name)
        let later = dropIns.filter { Self.precedes(own, $0.name) && SocketUnit([$0.text]).hasPorts }
        return (
            SocketUnit([file] + dropIns.map(\.text)),
            SocketUnit([file] + dropIns.filter { $0.name != own }.map(\.text)), later.map(\.name)
        )
    }

    private var unitOptions: [String]? {
        guard let texts = unitTexts("rpcbind.service") else { return nil }
        return RpcbindOptions.read(unit: texts.joined(separator: "\n")) { root.text($0) }
    }

    // MARK: NFS, wrappers, kernel

    /// nfs.conf, then the files of nfs.conf.d in the order of their names; those of the vendor below /usr/etc first.
    private var nfsConf: [NFSConfLine] {
        let all = ["/usr/etc", "/etc"].flatMap { files(["\($0)/nfs.conf"]) + files(in: "\($0)/nfs.conf.d") }
        return NFSConfLine.lines(all) { root.text($0) }
    }

    /// The files of sysctl.d(5) in the order in which they are read: of one name, the first folder's counts.
    private var sysctlFiles: [(file: String, text: String)] {
        var paths: [String: String] = [:]
        for folder in ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"].map({ "\($0)/sysctl.d" }) {
            for name in root.names(folder) where name.hasSuffix(".conf") && paths[name] == nil {
                paths[name] = "\(folder)/\(name)"
            }
        }
        let sorted = paths.sorted { Self.precedes($0.key, $1.key) }.map(\.value)
        return files(sorted + ["/etc/sysctl.conf"])
    }

    private func files(_ paths: [String]) -> [(file: String, text: String)] {
        paths.compactMap { path in root.text(path).map { (path, $0) } }
    }

    private func files(in folder: String) -> [(file: String, text: String)] {
        files(root.names(folder).filter { $0.hasSuffix(".conf") }.map { "\(folder)/\($0)" })
    }

    private func helperPorts(_ family: HostFacts.Family, _ nfsConf: [NFSConfLine]) -> HelperPorts {
        var ports = HelperPorts()
        func has(_ program: String) -> Bool { ["/usr/sbin/", "/sbin/"].contains { root.exists($0 + program) } }
        if has("rpc.mountd") { ports.installed.insert(.mountd) }
        // The kernel's lockd can't do without it.
        if has("rpc.statd") { ports.installed.formUnion([.statd, .lockd]) }
        if has("rpc.rquotad") { ports.installed.insert(.rquotad) }
        if let text = root.text(HelperPorts.ganeshaFile), !has("rpc.mountd") {
            ports.isGanesha = true
            ports.installed.subtract([.lockd, .rquotad])
            ports.read(nfsConf: nfsConf, for: [.statd])
            ports.read(ganesha: text)
            return ports
        }
        for folder in ["/lib/modprobe.d", "/usr/lib/modprobe.d", "/run/modprobe.d", SetupFiles.modprobeFolder] {
            for (file, text) in files(in: folder) { ports.read(modprobe: text, file: file) }
        }
        for (file, text) in sysctlFiles { ports.read(sysctl: text, file: file) }
        // rpc.statd sets lockd's ports, too, after the module was loaded.
        ports.read(nfsConf: nfsConf)
        for (setting, key) in HelperPorts.sysctls where isRunning {
            if let text = root.text("/proc/sys/fs/nfs/\(key)") { ports.read(current: text, of: setting) }
        }
        if isRunning, let text = root.text("/proc/cmdline") { ports.read(commandLine: text, file: "/proc/cmdline") }
        ports.rquotadFile = SetupFiles.rquotadFiles[family == .debian ? 0 : 1]
        if let file = ports.rquotadFile, let text = root.text(file) { ports.read(rquotad: text, file: file) }
        return ports
    }

    private var mountsOldNFS: Bool {
        (root.text("/proc/mounts") ?? "").split(separator: "\n").contains { line in
            let fields = line.split(separator: " ")
            return fields.count > 3 && fields[2] == "nfs" && !fields[3].contains("vers=4")
        }
    }

    /// The files that nsswitch's `files` and `usrfiles` read.
    private var servicesTexts: [String] {
        ["/etc/services", "/usr/etc/services"].compactMap { root.text($0) }
    }

    /// Checks for IPv6 as systemd does; a kernel that has it may have it switched off.
    private var hasIPv6: Bool {
        guard root.exists("/proc/net/if_inet6") else { return false }
        return root.text("/proc/sys/net/ipv6/conf/all/disable_ipv6")?.hasPrefix("1") != true
    }

    private static func rdma(_ list: [RPCB]) -> [String] {
        var seen: Set<String> = []
        return list.filter { $0.netID.hasPrefix("rdma") }.compactMap { rpcb in
            let place = "\(rpcb.netID) \(UniversalAddress(rpcb.address).map { "\($0.port)" } ?? rpcb.address)"
            return seen.insert(place).inserted ? place : nil
        }
    }

    private var ruleset: String? {
        let result = command("nft", "--stateless", "list", "ruleset")
        return result.isSuccess ? result.output : nil
    }

    private func kernel(hasRuleset: Bool) -> KernelFacts {
        var kernel = KernelFacts()
        kernel.release =
            (root.text("/proc/sys/kernel/osrelease") ?? "").split(separator: "\n").first.map(String.init) ?? ""
        let modules = ["modules.builtin", "modules.dep"].compactMap {
            root.text("/lib/modules/\(kernel.release)/\($0)")
        }
        func has(_ module: String) -> Bool? {
            modules.isEmpty ? nil : modules.contains { $0.contains("/\(module).ko") }
        }
        kernel.hasNFTables = hasRuleset ? true : has("nf_tables")
        kernel.hasPacketLog = root.exists("/proc/net/netfilter/nfnetlink_log") ? true : has("nfnetlink_log")
        return kernel
    }
}
