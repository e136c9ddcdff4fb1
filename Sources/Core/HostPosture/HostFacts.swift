import Addresses
import Portmapper

/// What was seen of a host; `nil` and ``UnitState/unknown`` where nobody could tell.
public struct HostFacts: Hashable, Sendable {
    public enum Family: Hashable, Sendable {
        case debian
        case redHat
        case suse
        case other
    }

    public enum ServiceManager: Hashable, Sendable {
        case systemd
        case openRC
        case sysV
        case none
    }

    public enum Package: Hashable, Sendable {
        case absent
        /// With the installed packages that depend on it.
        case installed(neededBy: [String])
        case unknown
    }

    public enum Network: Hashable, Sendable {
        /// The same as ours, or one in which there are interfaces.
        case ofHost
        /// Its own, with nothing in it but loopback.
        case empty
    }

    /// False for an image below `--root`: of what runs, nothing is known.
    public var isRunning = true
    /// The image's folder, for commands about it; empty for `/`.
    public var root = ""
    public var family = Family.other
    public var serviceManager = ServiceManager.systemd
    public var isContainer = false
    public var package = Package.unknown
    /// By unit name.
    public var units: [String: UnitState] = [:]
    /// rpcbind's start files of SysV or OpenRC that a boot would run.
    public var startFiles: [String] = []
    /// What rpcbind.socket listens at once its files are in force.
    public var socketUnit: SocketUnit?
    /// The same without the drop-in that setup writes.
    public var socketUnitOfOthers: SocketUnit?
    /// Drop-ins of rpcbind.socket that come after setup's, and give it ports.
    public var laterPorts: [String] = []
    /// rpcbind.service once its files are in force.
    public var serviceUnit: ServiceUnit?
    /// Of the rpcbind that runs; `nil`: none was seen.
    public var rpcbindNetwork: Network?
    /// Whether /etc/services has sunrpc for TCP and UDP.
    public var hasSunrpc: Bool?
    public var hasIPv6 = true
    /// What the kernel's nfsd listens at, such as `rdma 20049`.
    public var nfsdListeners: [String] = []
    /// What is registered for RDMA, such as `rdma 20049`.
    public var rdmaRegistrations: [String] = []
    /// Listening TCP and bound UDP sockets.
    public var sockets: [BoundSocket] = []
    /// rpcbind's options: of the running process, or else of its unit.
    public var rpcbindOptions: [String]?
    /// Without rpcbind's own; `nil`: it gave no answer.
    public var registrations: [Registration]?
    public var nfs = NFSConfiguration()
    /// Whether this host itself has NFS mounts of versions 2 or 3, which need statd and lockd registered here.
    public var mountsOldNFS = false
    /// As `nft list ruleset` prints it.
    public var ruleset: String?
    public var kernel = KernelFacts()
    public var expected = Expectations()

    public init() {}

    public func unit(_ name: String) -> UnitState { units[name] ?? .unknown }
}

/// What the configuration says of the host.
public struct Expectations: Hashable, Sendable {
    public var rpcbindSocket = "/run/rpcbind.sock"
    /// As rpcbind shows them.
    public var trustedOwners: Set<String> = ["superuser"]
    public var mark: UInt32 = 0x2000
    /// Bits of connection marks: `firewall.ct-mark`, `firewall.own-ct-mark`.
    public var flowMarks: [UInt32] = [0x2000_0000, 0x4000_0000]
    public var table = "rpcwarden"
    /// `firewall.guard-ports`.
    public var guardPorts: Set<ServicePort> = []
    public var isObserving = false

    public init() {}
}

public struct UnitState: Hashable, Sendable {
    public static let unknown = Self(enablement: "", activity: "")

    /// As `systemctl is-enabled` says it: enabled, disabled, masked, static, …; empty where it didn't say.
    public var enablement: String
    /// As `systemctl is-active` says it.
    public var activity: String

    public init(enablement: String, activity: String) {
        self.enablement = enablement
        self.activity = activity
    }

    public var isEnabled: Bool { enablement.hasPrefix("enabled") }
    public var isActive: Bool { activity == "active" || activity == "activating" || activity == "reloading" }
    public var isMasked: Bool { enablement.hasPrefix("masked") }
}

public struct KernelFacts: Hashable, Sendable {
    public var release = ""
    public var hasNFTables: Bool?
    public var hasPacketLog: Bool?

    public init() {}

    /// Tables of `flags owner,persist` are there from Linux 6.9 on.
    public var ownsTables: Bool? {
        let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        guard numbers.count == 2 else { return nil }
        return (numbers[0], numbers[1]) >= (6, 9)
    }
}
