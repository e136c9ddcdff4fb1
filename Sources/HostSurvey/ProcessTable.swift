import HostPosture
import Portmapper

/// Which processes of this network namespace hold which sockets; of rpcbind and rpcwarden only.
struct ProcessTable {
    private let root: HostRoot
    private var held: [UInt64: Set<String>] = [:]
    /// The options of the rpcbind that runs.
    private(set) var optionsOfRpcbind: [String]?

    private static let names: Set<String> = ["rpcbind", "portmap", "rpcwarden"]

    init(root: HostRoot) {
        self.root = root
        // Containers and namespaces of this host have their own, which are not meant.
        let ours = root.link("/proc/self/ns/net")
        for process in root.names("/proc") where process.allSatisfy(\.isNumber) {
            guard let name = root.text("/proc/\(process)/comm")?.split(separator: "\n").first.map(String.init),
                Self.names.contains(name), root.link("/proc/\(process)/ns/net") == ours
            else { continue }
            note(process, name)
        }
    }

    private mutating func note(_ process: String, _ name: String) {
        for descriptor in root.names("/proc/\(process)/fd") {
            guard let link = root.link("/proc/\(process)/fd/\(descriptor)"), link.hasPrefix("socket:["),
                let inode = UInt64(link.dropFirst("socket:[".count).dropLast())
            else { continue }
            held[inode, default: []].insert(name)
        }
        guard name == "rpcbind", let line = root.text("/proc/\(process)/cmdline") else { return }
        optionsOfRpcbind = line.split(separator: "\0").dropFirst().map(String.init)
    }

    func sockets() -> [BoundSocket] {
        [("tcp", Transport.tcp), ("tcp6", .tcp), ("udp", .udp), ("udp6", .udp)].flatMap { file, transport in
            BoundSocket.sockets(procNet: root.text("/proc/net/\(file)") ?? "", transport)
        }.map { socket in
            var socket = socket
            socket.holders = held[socket.inode] ?? []
            return socket
        }
    }
}
