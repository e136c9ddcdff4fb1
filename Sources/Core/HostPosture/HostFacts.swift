import Addresses
import Portmapper

/// The observed state of a host; `nil` and ``UnitState/unknown`` mark facts that could not be determined.
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
        /// The host's network namespace, or another one that has interfaces.
        case ofHost
        /// A network namespace of its own, with only the loopback interface.
        case empty
    }

    /// False for an image below `--root`: nothing is known about running processes.
    public var isRunning = true
    /// The image's folder, for use in commands; empty for `/`.
    public var root = ""
    public var family = Family.other
    public var serviceManager = ServiceManager.systemd
    public var isContainer = false
    public var package = Package.unknown
    /// The version of Debian's package rpcbind, such as `1.2.7-1`; `nil` if it isn't known.
    public var rpcbindVersion: String?
    /// By unit name.
    public var units: [String: UnitState] = [:]
    /// rpcbind's SysV or OpenRC start files that a boot would run.
    public var startFiles: [String] = []
    /// The listen addresses of rpcbind.socket once its files are in force.
    public var socketUnit: SocketUnit?
    /// The same, without the drop-in that setup writes.
    public var socketUnitOfOthers: SocketUnit?
    /// Drop-ins of rpcbind.socket that sort after setup's drop-in and add ports.
    public var laterPorts: [String] = []
    /// rpcbind.service once its files are in force.
    public var serviceUnit: ServiceUnit?
    /// The network of the running rpcbind; `nil` if no rpcbind was seen.
    public var rpcbindNetwork: Network?
    /// Whether /etc/services has sunrpc for TCP and UDP.
    public var hasSunrpc: Bool?
    public var hasIPv6 = true
    /// The listeners of the kernel's nfsd, such as `rdma 20049`.
    public var nfsdListeners: [String] = []
    /// The registrations for RDMA, such as `rdma 20049`.
    public var rdmaRegistrations: [String] = []
    /// Listening TCP and bound UDP sockets.
    public var sockets: [BoundSocket] = []
    /// rpcbind's options, from the running process or else from its unit.
    public var rpcbindOptions: [String]?
    /// Without rpcbind's own registrations; `nil` if rpcbind gave no answer, or a longer one than is read.
    public var registrations: [Registration]?
    /// rpcbind's answer was longer than is read.
    public var hasTooManyRegistrations = false
    public var nfs = NFSConfiguration()
    public var helperPorts = HelperPorts()
    /// Whether this host has NFS mounts of version 2 or 3, which need statd and lockd registered here.
    public var mountsOldNFS = false
    /// The output of `nft list ruleset`.
    public var ruleset: String?
    public var kernel = KernelFacts()
    /// `nil`: this host is no gateway.
    public var gateway: GatewayFacts?
    public var expected = Expectations()
    /// The errors of configuration and policy with which the daemon would not start.
    public var configurationErrors: [String] = []
    /// The path of `--config`; `nil`: the default one.
    public var configurationPath: String?

    public init() {}

    public func unit(_ name: String) -> UnitState { units[name] ?? .unknown }

    /// rpcbind 1.2.7 and later serves a socket in the abstract namespace beside the one at a path. An earlier one serves
    /// neither of the two then.
    public var takesAbstractSocket: Bool {
        let upstream = (rpcbindVersion ?? "").prefix { $0 != "-" && $0 != "+" && $0 != "~" }.split(separator: ":").last
        let numbers = (upstream ?? "").split(separator: ".").compactMap { Int($0) }
        return !numbers.lexicographicallyPrecedes([1, 2, 7]) && !numbers.isEmpty
    }
}

/// The values of the configuration that the examination compares the host with.
public struct Expectations: Hashable, Sendable {
    public var rpcbindSocket = "/run/rpcbind.sock"
    /// In the form that rpcbind reports owners.
    public var trustedOwners: Set<String> = ["superuser"]
    public var mark: UInt32 = 0x2000
    /// Bits of connection marks: `firewall.ct-mark`, `firewall.own-ct-mark`.
    public var flowMarks: [UInt32] = [0x2000_0000, 0x4000_0000]
    public var table = "rpcwarden"
    /// `firewall.guard-ports`.
    public var guardPorts: Set<ServicePort> = []
    /// `firewall.never`.
    public var neverPorts: Set<UInt16> = []
    public var isObserving = false
    /// `nil`: no `gateway` in the configuration.
    public var gateway: GatewayExpectations?

    public init() {}
}

public struct UnitState: Hashable, Sendable {
    public static let unknown = Self(enablement: "", activity: "")

    /// The output of `systemctl is-enabled`: enabled, disabled, masked, static, …; empty without output.
    public var enablement: String
    /// The output of `systemctl is-active`.
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
    /// Whether the kernel takes a table with `flags owner,persist`; `nil`: not tried.
    public var ownsTables: Bool?

    public init() {}
}
