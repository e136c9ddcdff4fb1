import Addresses
import Portmapper

/// A service beside nfsd whose port changes at each start, unless a file sets it.
public enum NFSHelper: CaseIterable, Hashable, Sendable {
    case mountd
    case statd
    case lockd
    case rquotad

    public var name: String {
        switch self {
        case .mountd: "rpc.mountd"
        case .statd: "rpc.statd"
        case .lockd: "lockd"
        case .rquotad: "rpc.rquotad"
        }
    }

    public var program: Program {
        switch self {
        case .mountd: .mountd
        case .statd: .status
        case .lockd: .nlockmgr
        case .rquotad: Program(100_011)
        }
    }

    public var settings: [HelperPorts.Setting] {
        switch self {
        case .mountd: [.mountd]
        case .statd: [.statd, .statdCalls]
        case .lockd: [.lockdTCP, .lockdUDP]
        case .rquotad: [.rquotad]
        }
    }
}

/// What the files of a host say of the helpers' ports.
public struct HelperPorts: Hashable, Sendable {
    public enum Setting: CaseIterable, Hashable, Sendable {
        case mountd
        case statd
        /// The port from which rpc.statd calls other hosts.
        case statdCalls
        case lockdTCP
        case lockdUDP
        case rquotad

        /// The section and the key in nfs.conf(5).
        var nfsConf: (section: String, key: String)? {
            switch self {
            case .mountd: ("mountd", "port")
            case .statd: ("statd", "port")
            case .statdCalls: ("statd", "outgoing-port")
            case .lockdTCP: ("lockd", "port")
            case .lockdUDP: ("lockd", "udp-port")
            case .rquotad: nil
            }
        }
    }

    public struct Value: Hashable, Sendable {
        /// `nil`: the file sets it to a value that is not known here.
        public var port: UInt16?
        public var file: String
    }

    private struct Entry: Hashable {
        var setting: Setting
        var value: Value
    }

    /// In the order in which they are read: the last counts.
    private var entries: [Entry] = []
    /// The helpers that are installed.
    public var installed: Set<NFSHelper> = []
    /// nfs-ganesha serves, and rpc.mountd isn't installed: mountd, lockd and rquotad are parts of it.
    public var isGanesha = false
    /// The file with the options of rpc.rquotad, which may be missing.
    public var rquotadFile: String?
    /// What that file sets; `nil`: nothing.
    public private(set) var rquotadOptions: String?
    /// The ports that the running lockd was given; none where it chooses them.
    public private(set) var current: [Setting: UInt16] = [:]

    public init() {}

    public static let ganeshaFile = "/etc/ganesha/ganesha.conf"

    /// The value in force; `nil`: the port changes at each start.
    public subscript(setting: Setting) -> Value? { last(setting) { _ in true } }

    /// The value from files that `setup --pin` doesn't write.
    func ofOthers(_ setting: Setting) -> Value? { last(setting) { !SetupFiles.pins.contains($0) } }
    /// The value from a file that `setup --pin` has written.
    func ofSetup(_ setting: Setting) -> Value? { last(setting, SetupFiles.pins.contains) }

    private func last(_ setting: Setting, _ isMeant: (String) -> Bool) -> Value? {
        let value = entries.last { $0.setting == setting && isMeant($0.value.file) }?.value
        return value?.port == 0 ? nil : value
    }

    /// Whether each port of the helper is fixed at which it listens.
    public func isFixed(_ helper: NFSHelper) -> Bool {
        helper.settings.allSatisfy { $0 == .statdCalls || self[$0] != nil }
    }

    // MARK: Reading

    private mutating func add(_ setting: Setting, _ text: some StringProtocol, _ file: String) {
        guard let port = UInt16(text) else { return }
        entries.append(Entry(setting: setting, value: Value(port: port, file: file)))
    }

    /// Reads the lines of nfs.conf and nfs.conf.d.
    public mutating func read(nfsConf lines: [NFSConfLine], for helpers: [NFSHelper] = NFSHelper.allCases) {
        let sections: [NFSHelper: String] = [.mountd: "mountd", .statd: "statd", .lockd: "lockd"]
        let known = helpers.compactMap { sections[$0] }
        // A file's lines together: lockd's port is for both transports, unless the file sets the other one, too.
        for file in lines.map(\.file).uniqued {
            let lines = lines.filter { $0.file == file && known.contains($0.section) }
            for line in lines where line.section == "lockd" && line.key == "port" { add(.lockdUDP, line) }
            for setting in Setting.allCases {
                guard let name = setting.nfsConf else { continue }
                for line in lines where line.section == name.section && line.key == name.key { add(setting, line) }
            }
        }
    }

    /// A value that is no port is the administrator's, all the same.
    private mutating func add(_ setting: Setting, _ line: NFSConfLine) {
        let value = Value(port: line.value.flatMap { UInt16($0) }, file: line.file)
        entries.append(Entry(setting: setting, value: value))
    }

    /// Reads a file of modprobe.d(5).
    public mutating func read(modprobe text: String, file: String) {
        for line in text.split(separator: "\n") {
            let words = line.split { $0 == " " || $0 == "\t" }
            guard words.count > 2, words[0] == "options", words[1] == "lockd" else { continue }
            readLockd(words.dropFirst(2), prefix: "", file)
        }
    }

    /// Reads a file of sysctl.d(5).
    public mutating func read(sysctl text: String, file: String) {
        for line in text.split(separator: "\n").map(\.trimmed) {
            let parts = line.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let name = parts[0].drop { $0 == "-" }.trimmed.replacing("/", with: ".")
            for (setting, key) in Self.sysctls where name == "fs.nfs.\(key)" { add(setting, parts[1].trimmed, file) }
        }
    }

    /// The keys below fs.nfs, and in /proc/sys/fs/nfs.
    public static let sysctls: [(Setting, String)] = [(.lockdTCP, "nlm_tcpport"), (.lockdUDP, "nlm_udpport")]

    /// Takes the text of a file of /proc/sys/fs/nfs.
    public mutating func read(current text: String, of setting: Setting) {
        guard let port = UInt16(text.trimmed), port > 0 else { return }
        current[setting] = port
    }

    /// Reads the kernel's command line.
    public mutating func read(commandLine text: String, file: String) {
        readLockd(text.split(whereSeparator: \.isWhitespace)[...], prefix: "lockd.", file)
    }

    private mutating func readLockd(_ words: ArraySlice<Substring>, prefix: String, _ file: String) {
        for (setting, key) in [(Setting.lockdTCP, "nlm_tcpport="), (.lockdUDP, "nlm_udpport=")] {
            for word in words where word.hasPrefix(prefix + key) {
                add(setting, word.dropFirst(prefix.count + key.count), file)
            }
        }
    }

    /// Reads a file of shell variables, in which `RPCRQUOTADOPTS` are the options of rpc.rquotad.
    public mutating func read(rquotad text: String, file: String) {
        let key = "RPCRQUOTADOPTS="
        for line in text.split(separator: "\n").map(\.trimmed) where line.hasPrefix(key) {
            let options = line.dropFirst(key.count).filter { $0 != "\"" && $0 != "'" }.trimmed
            rquotadOptions = options.isEmpty ? nil : String(options)
            let words = options.split(separator: " ")
            add(.rquotad, "0", file)
            for (index, word) in words.enumerated() {
                switch word {
                case "-p", "--port": if index + 1 < words.count { add(.rquotad, words[index + 1], file) }
                case _ where word.hasPrefix("--port="): add(.rquotad, word.dropFirst(7), file)
                case _ where word.hasPrefix("-p"): add(.rquotad, word.dropFirst(2), file)
                default: continue
                }
            }
        }
    }

    /// Reads nfs-ganesha's configuration, whose keys have no case.
    public mutating func read(ganesha text: String) {
        let keys: [(String, [Setting])] = [
            ("mnt_port", [.mountd]), ("nlm_port", [.lockdTCP, .lockdUDP]), ("rquota_port", [.rquotad]),
        ]
        // Its own default.
        add(.rquotad, "875", Self.ganeshaFile)
        let lines: [Substring] = text.split(separator: "\n").map { line in line.prefix { $0 != "#" } }
        let words = lines.joined(separator: " ")
            .split { (each: Character) in each.isWhitespace || "=;{}".contains(each) }
        for (word, value) in zip(words, words.dropFirst()) {
            for (key, settings) in keys where word.lowercased() == key {
                for setting in settings { add(setting, value, Self.ganeshaFile) }
            }
        }
    }
}
