import Addresses
import HostPosture

/// The sockets that rpcbind and rpcwarden hold in this network namespace. Also finds the rpcbind that serves this
/// host from a network namespace of its own.
struct ProcessTable {
    private let root: HostRoot
    private var held: [UInt64: Set<String>] = [:]
    /// The options of the running rpcbind.
    private(set) var optionsOfRpcbind: [String]?
    /// `nil`: no rpcbind runs.
    private(set) var networkOfRpcbind: HostFacts.Network?

    private static let names: Set<String> = ["rpcbind", "portmap", "rpcwarden"]

    init(root: HostRoot, rpcbindSocket: String) {
        self.root = root
        let ours = root.link("/proc/self/ns/net")
        let sockets = Self.listeners(at: rpcbindSocket, root)
        let users = Self.users(root)
        let portmappers = Set(Self.bound(root).filter { $0.service.port == 111 }.map(\.inode))
        for process in root.names("/proc") where process.allSatisfy(\.isNumber) {
            guard let name = root.text("/proc/\(process)/comm")?.split(separator: "\n").first.map(String.init),
                Self.names.contains(name)
            else { continue }
            // Any user's process can have the name; port 111 needs a capability.
            guard
                name == "rpcwarden" || user(of: process).map(users.contains) == true
                    || !self.sockets(of: process).isDisjoint(with: portmappers)
            else { continue }
            if root.link("/proc/\(process)/ns/net") == ours {
                note(process, name)
                if name != "rpcwarden" { networkOfRpcbind = .ofHost }
            } else if name == "rpcbind", servesThisHost(process, at: sockets) {
                noteOptions(process)
                if networkOfRpcbind == nil { networkOfRpcbind = hasInterfaces(process) ? .ofHost : .empty }
            }
        }
    }

    /// Root, and the users that distributions run rpcbind and portmap as.
    private static func users(_ root: HostRoot) -> Set<UInt32> {
        let names = ["_rpc", "rpc", "rpcbind", "portmap", "daemon"]
        let lines = (root.text("/etc/passwd") ?? "").split(separator: "\n")
        return Set(
            [0]
                + lines.compactMap { line in
                    let fields = line.split(separator: ":", omittingEmptySubsequences: false)
                    guard fields.count > 2, names.contains(String(fields[0])) else { return nil }
                    return UInt32(fields[2])
                })
    }

    /// The effective user, from the second number of `Uid:` in `/proc/PID/status`.
    private func user(of process: String) -> UInt32? {
        let lines = (root.text("/proc/\(process)/status") ?? "").split(separator: "\n")
        let words = lines.first { $0.hasPrefix("Uid:") }?.split(whereSeparator: \.isWhitespace) ?? []
        return words.count > 2 ? UInt32(words[2]) : nil
    }

    /// Whether this rpcbind serves this host: a container's rpcbind has a mount namespace of its own. This host's
    /// rpcbind may have one, too, but holds the socket that systemd made, if /proc shows it to this process.
    private func servesThisHost(_ process: String, at sockets: Set<UInt64>) -> Bool {
        let files = root.link("/proc/\(process)/ns/mnt")
        return files == root.link("/proc/self/ns/mnt") || !self.sockets(of: process).isDisjoint(with: sockets)
    }

    /// Inodes of listeners, from the last column but one of `/proc/net/unix`, in lines that end with the path.
    private static func listeners(at path: String, _ root: HostRoot) -> Set<UInt64> {
        let lines = (root.text("/proc/net/unix") ?? "").split(separator: "\n")
        return Set(
            lines.compactMap { line in
                let fields = line.split(separator: " ")
                guard fields.count == 8, fields[7] == path || fields[7] == "/var" + path else { return nil }
                return UInt64(fields[6])
            })
    }

    /// Whether the process has interfaces besides loopback; the first two lines are headings.
    private func hasInterfaces(_ process: String) -> Bool {
        let lines = (root.text("/proc/\(process)/net/dev") ?? "").split(separator: "\n").dropFirst(2)
        return lines.contains { line in line.drop { $0 == " " }.prefix { $0 != ":" } != "lo" }
    }

    private func sockets(of process: String) -> Set<UInt64> {
        Set(
            root.names("/proc/\(process)/fd").compactMap { descriptor in
                guard let link = root.link("/proc/\(process)/fd/\(descriptor)"), link.hasPrefix("socket:[") else {
                    return nil
                }
                return UInt64(link.dropFirst("socket:[".count).dropLast())
            })
    }

    private mutating func note(_ process: String, _ name: String) {
        for inode in sockets(of: process) { held[inode, default: []].insert(name) }
        if name == "rpcbind" { noteOptions(process) }
    }

    private mutating func noteOptions(_ process: String) {
        guard let line = root.text("/proc/\(process)/cmdline") else { return }
        optionsOfRpcbind = line.split(separator: "\0").dropFirst().map(String.init)
    }

    private static func bound(_ root: HostRoot) -> [BoundSocket] {
        [("tcp", Transport.tcp), ("tcp6", .tcp), ("udp", .udp), ("udp6", .udp)].flatMap { file, transport in
            BoundSocket.sockets(procNet: root.text("/proc/net/\(file)") ?? "", transport)
        }
    }

    func sockets() -> [BoundSocket] {
        Self.bound(root).map { socket in
            var socket = socket
            socket.holders = held[socket.inode] ?? []
            return socket
        }
    }
}
