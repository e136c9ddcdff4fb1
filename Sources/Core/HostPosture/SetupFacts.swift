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
    /// The errors for which the daemon would not start with the present files.
    public var configurationErrors: [String] = []
    /// The path of `--config`, if it isn't the default one, which setup would write.
    public var otherConfiguration: String?
    /// rpcwarden.service has that path in its command.
    public var startsWithOtherConfiguration = false
    /// The configuration's `policy` is policy.d, where setup writes its own.
    public var readsPolicyFolder = true
    /// The present policy has a rule.
    public var hasRules = true
    /// A fleet's policy takes the place of policy.d.
    public var hasFleetPolicy = false
    public var hasUser = false
    /// The installed units among rpcwarden's units and rpcbind.socket.
    public var installedUnits: Set<String> = []
    /// Units that systemd restarts or stops along with rpcbind.socket.
    public var dependents: [String] = []
    /// The command that takes the guard out of the kernel.
    public var unload = ["rpcwarden", "guard", "unload"]
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

    /// There is a configuration that setup doesn't write.
    var hasConfiguration: Bool { otherConfiguration != nil || files[SetupFiles.configuration] != nil }
    var lacksPolicy: Bool { readsPolicyFolder && policies.isEmpty }
    public var isImage: Bool { !host.isRunning }
    /// The prefix of all paths: the value of `--root`, without a slash at its end.
    public var root: String { host.root }
}
