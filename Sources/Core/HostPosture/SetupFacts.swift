import Firewall

/// The facts about a host that `setup` needs besides its posture.
public struct SetupFacts: Hashable, Sendable {
    public var host = HostFacts()
    /// The present contents of the files that setup would write; a missing file has no entry.
    public var files: [String: [UInt8]] = [:]
    /// Folders that exist.
    public var folders: Set<String> = []
    /// The `*.yaml` files in policy.d.
    public var policies: [String] = []
    /// The errors that `rpcwarden check` reports for the present files.
    public var configurationErrors: [String] = []
    /// A fleet's policy takes the place of policy.d.
    public var hasFleetPolicy = false
    public var hasUser = false
    /// The installed units among rpcwarden's units and rpcbind.socket.
    public var installedUnits: Set<String> = []
    /// Units that systemd restarts or stops along with rpcbind.socket.
    public var dependents: [String] = []
    public var hasTable = false
    /// rpcwarden.socket once its files are in force.
    public var wardenSocketUnit = SocketUnit([])
    /// The same, without the drop-in that `setup --gateway` writes.
    public var wardenSocketUnitOfOthers = SocketUnit([])
    /// Drop-ins of rpcwarden.socket that sort after setup's drop-in and add ports.
    public var laterWardenPorts: [String] = []
    /// Whether this host forwards packets, by family; no entry: unknown.
    public var forwards: [RoutingFamily: Bool] = [:]
    public var hasSysusers = true
    /// The changes that an earlier setup made.
    public var record = SetupRecord()

    public init() {}

    public var isImage: Bool { !host.isRunning }
    /// The prefix of all paths: the value of `--root`, without a slash at its end.
    public var root: String { host.root }
}
