/// All findings about a host, the most severe first.
public struct Examination {
    let facts: HostFacts

    public init(_ facts: HostFacts) {
        self.facts = facts
    }

    public var findings: [Finding] {
        let all =
            configuration + exposure + need + network + options + registrations + remoteMemory + otherTables + marks
            + kernel + orphans + surroundings + gateway + unpinnedPorts
        return [Finding.Severity.high, .medium, .low, .note].flatMap { severity in
            all.filter { $0.severity == severity }
        }
    }

    // MARK: Shared by several findings

    /// `nil`: the registrations are unknown.
    var use: RpcbindUse? {
        facts.registrations.map {
            RpcbindUse($0, servesVersion3: facts.nfs.servesVersion3, mountsOldNFS: facts.mountsOldNFS)
        }
    }

    /// rpcbind is installed, is enabled, runs, or holds a port.
    var isPresent: Bool {
        if case .installed = facts.package { return true }
        return isInUse || facts.socketUnit != nil
    }

    /// CIS 2.1.12: enabled, or active.
    var isInUse: Bool {
        Self.rpcbindUnits.contains { facts.unit($0).isEnabled || facts.unit($0).isActive }
            || !facts.startFiles.isEmpty || !heldByRpcbind.isEmpty || facts.rpcbindNetwork != nil
    }

    static let rpcbindUnits = ["rpcbind.socket", "rpcbind.service"]

    var isWardenActive: Bool {
        facts.unit("rpcwarden.socket").isActive
            || facts.sockets.contains { $0.service.port == 111 && $0.holders.contains("rpcwarden") }
    }

    var isWardenEnabled: Bool { facts.unit("rpcwarden.socket").isEnabled }

    var heldByRpcbind: [BoundSocket] {
        facts.sockets.filter { !$0.holders.isDisjoint(with: ["rpcbind", "portmap"]) }
    }

    /// Sockets at port 111 that other hosts can reach, and that belong to rpcbind.
    var exposed: [BoundSocket] {
        facts.sockets.filter { socket in
            guard socket.service.port == 111, socket.isReachable, !socket.holders.contains("rpcwarden") else {
                return false
            }
            if !socket.holders.isEmpty { return true }
            // systemd alone holds the socket until the first call.
            return facts.unit("rpcbind.socket").isActive && !facts.unit("rpcwarden.socket").isActive
        }
    }
}
