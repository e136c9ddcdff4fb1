/// What `setup` has to know of a host, besides its posture.
public struct SetupFacts: Hashable, Sendable {
    public var host = HostFacts()
    /// What the files that setup would write hold now; those that are missing are not in it.
    public var files: [String: [UInt8]] = [:]
    /// Folders that are there.
    public var folders: Set<String> = []
    /// `*.yaml` in policy.d.
    public var policies: [String] = []
    /// What `rpcwarden check` says of the files that are there.
    public var configurationErrors: [String] = []
    public var hasUser = false
    /// Our units, and rpcbind.socket, that are installed.
    public var installedUnits: Set<String> = []
    /// Units that systemd restarts along with rpcbind.socket, or stops.
    public var dependents: [String] = []
    public var hasTable = false
    public var hasSysusers = true
    /// What an earlier setup did.
    public var record = SetupRecord()

    public init() {}

    public var isImage: Bool { !host.isRunning }
    /// Where paths begin: what `--root` says, without a slash at its end.
    public var root: String { host.root }
}
