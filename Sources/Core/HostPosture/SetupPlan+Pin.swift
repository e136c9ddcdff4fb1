import Addresses

/// `setup --pin`: fixed ports for mountd, statd, lockd and rquotad, for firewalls that can't follow them.
extension SetupPlan {
    public static func pin(_ facts: SetupFacts) -> Self {
        var plan = Self()
        let helpers = facts.host.helperPorts
        if helpers.installed.isEmpty, !helpers.isGanesha {
            plan.block(
                """
                there is nothing to pin: neither rpc.mountd, rpc.statd and rpc.rquotad (nfs-utils, quota) nor \
                nfs-ganesha is installed
                """)
            return plan
        }
        var pinning = Pinning(facts)
        pinning.choose()
        for reason in pinning.obstacles { plan.block(reason) }
        guard plan.obstacles.isEmpty else { return plan }
        for helper in NFSHelper.allCases where helpers.installed.contains(helper) { plan.tellOfKept(helper, facts) }
        for text in pinning.notes { plan.note(text) }
        let before = plan.actions.count
        plan.pinByNFSConf(pinning, facts)
        plan.pinByModprobe(pinning, facts)
        plan.pinRquotad(pinning, facts)
        if helpers.isGanesha { plan.tellOfGanesha(pinning) }
        if plan.actions.count > before { plan.tellOfRestart(pinning.written, facts) }
        return plan
    }

    private mutating func tellOfKept(_ helper: NFSHelper, _ facts: SetupFacts) {
        let ports = facts.host.helperPorts
        for setting in helper.settings {
            if let value = ports.ofOthers(setting) {
                let port = value.port.map { "\($0)" } ?? "a value that setup can't read"
                alreadySo("\(facts.root)\(value.file) sets \(setting.text): \(port)")
            } else if setting != .statdCalls, let other = helper.settings.compactMap(ports.ofOthers).first {
                leave("\(facts.root)\(other.file) doesn't set \(setting.text); add it there")
            }
        }
    }

    // MARK: Files

    private mutating func pinByNFSConf(_ pinning: Pinning, _ facts: SetupFacts) {
        let chosen = pinning.written.filter { $0.key.nfsConf != nil }
        guard !chosen.isEmpty else { return }
        let lines = SetupFiles.nfsConfPinsText(chosen)
        guard facts.folders.contains(SetupFiles.nfsConfFolder) else {
            return leave(
                """
                this host's nfs-utils has no \(SetupFiles.nfsConfFolder). Add to /etc/nfs.conf (programs too old to read \
                that file need the same as options, besides):
                \(lines.split(separator: "\n").dropFirst().map { "    | \($0)" }.joined(separator: "\n"))
                """)
        }
        write(SetupFiles.nfsConfPins, in: SetupFiles.nfsConfFolder, lines, facts)
    }

    /// For a lockd that begins before rpc.statd, which sets its ports, too.
    private mutating func pinByModprobe(_ pinning: Pinning, _ facts: SetupFacts) {
        guard let tcp = pinning.written[.lockdTCP], let udp = pinning.written[.lockdUDP] else { return }
        let text = SetupFiles.modprobePinsText(tcp: tcp, udp: udp)
        write(SetupFiles.modprobePins, in: SetupFiles.modprobeFolder, text, facts)
    }

    private mutating func write(_ path: String, in folder: String, _ text: String, _ facts: SetupFacts) {
        let isThere = facts.files[path] == Array(text.utf8)
        let file = DropIn(path: path, folder: folder, text: text, isInForce: isThere, lack: "")
        if file.isForeign(facts) { return alreadySo("\(facts.root)\(path) was edited since setup, and is kept") }
        guard file.isDue(facts) else { return alreadySo("\(facts.root)\(path) sets the ports") }
        makeRecordFolder(facts)
        write(file, facts)
    }

    private mutating func makeRecordFolder(_ facts: SetupFacts) {
        let make = Action.makeFolder(facts.root + SetupFiles.recordFolder)
        guard !facts.folders.contains(SetupFiles.recordFolder), !actions.contains(make) else { return }
        act(make, .folder(SetupFiles.recordFolder))
    }

    private mutating func pinRquotad(_ pinning: Pinning, _ facts: SetupFacts) {
        guard let port = pinning.written[.rquotad], let path = facts.host.helperPorts.rquotadFile else { return }
        if let options = facts.host.helperPorts.rquotadOptions {
            return leave("\(facts.root)\(path) has options of rpc.rquotad, and is kept (\(options)). Add: -p \(port)")
        }
        guard let bytes = facts.files[path] else {
            return leave(
                """
                there is no \(facts.root)\(path), which has the options of rpc.rquotad; make it with this line: \
                RPCRQUOTADOPTS="-p \(port)"
                """)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            return leave("\(facts.root)\(path) is not UTF-8, and is kept. Add to it: RPCRQUOTADOPTS=\"-p \(port)\"")
        }
        let whole = text + (text.isEmpty || text.hasSuffix("\n") ? "" : "\n") + SetupFiles.rquotadLines(port)
        makeRecordFolder(facts)
        act(.writeFile(facts.root + path, text: whole), .lines(path))
    }

    /// nfs-ganesha reads one file, which is the administrator's.
    private mutating func tellOfGanesha(_ pinning: Pinning) {
        let keys: [(HelperPorts.Setting, String)] = [
            (.mountd, "MNT_Port"), (.lockdTCP, "NLM_Port"), (.rquotad, "Rquota_Port"),
        ]
        let settings = keys.compactMap { setting, key in pinning.chosen[setting].map { "\(key) = \($0);" } }
        guard !settings.isEmpty else { return }
        leave(
            """
            setup does not change \(HelperPorts.ganeshaFile). Add to it, then restart nfs-ganesha: NFS_CORE_PARAM \
            { \(settings.joined(separator: " ")) }
            """)
    }

    // MARK: What is left to do

    private mutating func tellOfRestart(_ chosen: [HelperPorts.Setting: UInt16], _ facts: SetupFacts) {
        guard !facts.isImage else { return }
        note("setup restarts none of them. The ports are in force after: \(Self.restart(facts))")
        if let tcp = chosen[.lockdTCP], let udp = chosen[.lockdUDP] {
            note(
                """
                lockd takes its ports when it starts: after a boot, or, once no NFS server runs and no NFSv3 mount is \
                left, after: sysctl -w fs.nfs.nlm_tcpport=\(tcp) fs.nfs.nlm_udpport=\(udp)
                """)
        }
    }

    mutating func tellOfUnpinned(_ facts: SetupFacts) {
        guard !facts.isImage else { return }
        note("the ports stay until the services are restarted, those of lockd until a boot: \(Self.restart(facts))")
    }

    private static func restart(_ facts: SetupFacts) -> String {
        let helpers = facts.host.helperPorts.installed
        guard facts.host.serviceManager == .systemd else {
            return "restart " + NFSHelper.allCases.filter(helpers.contains).map(\.name).joined(separator: ", ")
        }
        let rquotad = facts.host.family == .debian ? "quotarpc.service" : "rpc-rquotad.service"
        let units = [
            (NFSHelper.mountd, "nfs-mountd.service"), (.statd, "rpc-statd.service"), (.rquotad, rquotad),
        ]
        return "systemctl try-restart "
            + units.filter { helpers.contains($0.0) }.map(\.1).joined(separator: " ")
    }

    // MARK: Undo

    /// Takes back what ``pin(_:)`` did, and nothing else of the record.
    public static func undoPin(_ facts: SetupFacts) -> Self {
        var plan = Self()
        let pins = facts.record.entries.filter(isPin)
        guard !pins.isEmpty else {
            plan.alreadySo("nothing to undo: \(facts.root)\(SetupFiles.record) has no port that setup pinned")
            return plan
        }
        for entry in pins.reversed() { plan.takeBack(entry, facts) }
        plan.tellOfUnpinned(facts)
        let rest = facts.record.without(isPin)
        if rest.without({ $0 == .folder(SetupFiles.recordFolder) }).isEmpty {
            plan.forget(facts)
        } else {
            plan.act(.writeFile(facts.root + SetupFiles.record, text: rest.text))
        }
        return plan
    }

    static func isPin(_ entry: SetupRecord.Entry) -> Bool {
        switch entry {
        case .file(let path, _): SetupFiles.pins.contains(path)
        case .lines: true
        case .folder(let path): path == SetupFiles.modprobeFolder
        case .user, .enabled: false
        }
    }

    mutating func takeBackLines(_ path: String, _ facts: SetupFacts) {
        guard SetupFiles.rquotadFiles.contains(path), let bytes = facts.files[path] else { return }
        guard let text = String(validating: bytes, as: UTF8.self), let rest = SetupFiles.withoutRquotadLines(text)
        else {
            return alreadySo("\(facts.root)\(path) has setup's lines no more, and is kept")
        }
        act(.writeFile(facts.root + path, text: rest))
    }
}

/// The choice of ports.
private struct Pinning {
    let facts: SetupFacts
    var chosen: [HelperPorts.Setting: UInt16] = [:]
    var notes: [String] = []
    var obstacles: [String] = []

    init(_ facts: SetupFacts) { self.facts = facts }

    private var ports: HelperPorts { facts.host.helperPorts }

    /// Those that files of setup's set: not nfs-ganesha's.
    var written: [HelperPorts.Setting: UInt16] {
        let settings = ports.installed.flatMap(\.settings)
        return chosen.filter { settings.contains($0.key) }
    }

    /// Tried in this order where a port is taken. All lie below the ports that the kernel gives to outgoing connections
    /// (32768 to 60999), and above those that the C library gives to root's (600 to 1023): neither takes one meanwhile.
    private static let others = (32_700...32_763).reversed()

    mutating func choose() {
        let helpers = NFSHelper.allCases.filter { ports.installed.contains($0) || ports.isGanesha && $0 != .statd }
        for helper in helpers {
            // A helper with one port of its own choice is the administrator's matter.
            guard helper.settings.allSatisfy({ ports.ofOthers($0) == nil }) else { continue }
            for setting in helper.settings { choose(setting, of: helper) }
        }
    }

    private mutating func choose(_ setting: HelperPorts.Setting, of helper: NFSHelper) {
        if let own = ports.ofSetup(setting)?.port {
            chosen[setting] = own
            return
        }
        // One rule of a firewall for both.
        if setting == .lockdUDP, ports.current[setting] == nil {
            chosen[setting] = chosen[.lockdTCP]
            return
        }
        // lockd keeps a port that it was given without a file.
        let usual = ports.current[setting] ?? setting.usualPort
        guard let reason = obstacle(usual, helper) else {
            chosen[setting] = usual
            return
        }
        guard let port = Self.others.map(UInt16.init).first(where: { obstacle($0, helper) == nil }) else {
            return obstacles.append("\(setting.text): \(reason), and no port from 32700 to 32763 is free")
        }
        chosen[setting] = port
        notes.append("\(setting.text) is \(port): \(reason)")
    }

    /// Why the helper can't have the port.
    private func obstacle(_ port: UInt16, _ helper: NFSHelper) -> String? {
        if facts.host.expected.neverPorts.contains(port) { return "\(port) is in firewall.never" }
        let pair = chosen.filter { $0.key != .lockdTCP || helper != .lockd }
        if pair.values.contains(port) || HelperPorts.Setting.allCases.contains(where: { ports[$0]?.port == port }) {
            return "\(port) is another's here"
        }
        let held = Set(facts.host.sockets.filter { $0.service.port == port }.map(\.service))
        let own = (facts.host.registrations ?? []).filter { $0.program == helper.program }.compactMap(\.service)
        let foreign = held.subtracting(own).min { $0.transport.rawValue < $1.transport.rawValue }
        return foreign.map { "another process listens at \($0)" }
    }
}

extension HelperPorts.Setting {
    /// In words.
    var text: String {
        switch self {
        case .mountd: "the port of rpc.mountd"
        case .statd: "the port of rpc.statd"
        case .statdCalls: "the port from which rpc.statd calls"
        case .lockdTCP: "the TCP port of lockd"
        case .lockdUDP: "the UDP port of lockd"
        case .rquotad: "the port of rpc.rquotad"
        }
    }

    /// 20048 is IANA's for mountd. The others have none that is free of the ranges in `Pinning.others`.
    var usualPort: UInt16 {
        switch self {
        case .mountd: 20_048
        case .statd: 32_765
        case .statdCalls: 32_766
        case .lockdTCP, .lockdUDP: 32_767
        case .rquotad: 32_764
        }
    }
}

/// The texts that `setup --pin` writes.
extension SetupFiles {
    static let pinHeading = "# Written by `rpcwarden setup --pin`."

    static func nfsConfPinsText(_ chosen: [HelperPorts.Setting: UInt16]) -> String {
        var (text, section) = (pinHeading + "\n", "")
        for setting in HelperPorts.Setting.allCases {
            guard let port = chosen[setting], let name = setting.nfsConf else { continue }
            if name.section != section { text += "[\(name.section)]\n" }
            section = name.section
            text += "\(name.key)=\(port)\n"
            // Where systemd starts it in rpc.statd's place.
            if setting == .statdCalls { text += "[sm-notify]\n\(name.key)=\(port)\n" }
        }
        return text
    }

    static func modprobePinsText(tcp: UInt16, udp: UInt16) -> String {
        "\(pinHeading)\noptions lockd nlm_tcpport=\(tcp) nlm_udpport=\(udp)\n"
    }

    static func rquotadLines(_ port: UInt16) -> String { "\(pinHeading)\nRPCRQUOTADOPTS=\"-p \(port)\"\n" }

    /// `nil`: they aren't there as they were written.
    static func withoutRquotadLines(_ text: String) -> String? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let heading = lines.firstIndex(of: pinHeading[...]), heading + 1 < lines.count,
            let port = lines[heading + 1].split(separator: " ").last?.filter(\.isNumber), let number = UInt16(port),
            rquotadLines(number) == "\(pinHeading)\n\(lines[heading + 1])\n"
        else { return nil }
        return (lines[..<heading] + lines[(heading + 2)...]).joined(separator: "\n")
    }

}
