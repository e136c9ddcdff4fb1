import Addresses
import Firewall

/// All of rpcwarden.yaml, typed; the defaults are the ones of rpcwarden.yaml(5).
public struct Settings: Hashable, Sendable {
    public enum Mode: String, Hashable, Sendable, CaseIterable {
        case enforce
        /// Answers and opens as usual; only logs calls and packets that enforce would deny or drop.
        case observe
    }

    /// An address and a port to listen at or to connect to.
    public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
        public var address: IPAddress
        public var port: UInt16

        public init(_ address: IPAddress, _ port: UInt16) {
            self.address = address
            self.port = port
        }

        public var description: String { address.isIPv4 ? "\(address):\(port)" : "[\(address)]:\(port)" }
    }

    public struct Rpcbind: Hashable, Sendable {
        public var socketPath = "/run/rpcbind.sock"
        public var timeout: Duration = .milliseconds(800)
        public var refresh: Duration = .milliseconds(500)
        /// User names, or uids in decimal; `superuser` is rpcbind's name for root.
        public var owners = ["superuser", "statd", "rpcuser"]
        public var permitsLocalRegistration = false
        public init() {}
    }

    /// Ports of one transport, `udp/32765-32768`.
    public struct PortRange: Hashable, Sendable, CustomStringConvertible {
        public var transport: Transport
        public var ports: ClosedRange<UInt16>

        public init(_ transport: Transport, _ ports: ClosedRange<UInt16>) {
            self.transport = transport
            self.ports = ports
        }

        public func covers(_ service: ServicePort) -> Bool {
            service.transport == transport && ports.contains(service.port)
        }

        public var description: String {
            ports.count == 1
                ? "\(transport)/\(ports.lowerBound)" : "\(transport)/\(ports.lowerBound)-\(ports.upperBound)"
        }
    }

    public struct Firewall: Hashable, Sendable {
        public var management: TableShape.Management = .guardPorts
        public var table = "rpcwarden"
        public var keep: Duration = .seconds(86_400)
        /// How long an expired grant is remembered; `.zero` turns revival off.
        public var revive: Duration = .seconds(30 * 86_400)
        public var mark = TableShape.defaultMark
        /// Bits of the connection mark: of admitted flows, and of flows that this host began from a guarded port.
        public var flowMark = TableShape.defaultFlowMark
        public var ownFlowMark = TableShape.defaultOwnFlowMark
        public var guardPorts: [PortRange] = []
        public var never: Set<UInt16> = [22, 111]
        /// The table belongs to the daemon (`flags owner,persist`), if the kernel supports that.
        public var ownsTable = true
        /// The NFLOG group that reports dropped packets; 0: none.
        public var logGroup: UInt16 = 1111
        public init() {}
    }

    public struct Denial: Hashable, Sendable {
        public enum ToStrangers: String, Hashable, Sendable, CaseIterable {
            case silence
            case authError = "auth-error"
        }
        public enum ToNamed: String, Hashable, Sendable, CaseIterable {
            case authError = "auth-error"
            case notRegistered = "not-registered"
            case silence
        }
        public var strangers: ToStrangers = .silence
        public var refuse: ToNamed = .authError
        public init() {}
    }

    public struct Limits: Hashable, Sendable {
        /// Per client address (strangers of IPv6: per /64) and transport; the burst is four times as large.
        public var callsPerSecond = 50
        public var grants = 65_536
        public var grantsPerClient = 64
        public var tcpConnections = 1024
        public var tcpConnectionsPerClient = 16
        /// Also the longest time that a single record may take to arrive.
        public var tcpIdle: Duration = .seconds(30)
        public var recordBytes = 4096
        /// The bytes of replies that a TCP peer may leave unread; above this its calls are not read.
        public var owedBytes = 262_144
        /// Calls over UDP, or connections, of all strangers together; above this the kernel drops them. 0: never.
        public var strangersPerSecond = 2000
        public var listsOverUDP = false
        public init() {}

        /// The rest of `grants` is kept for calls over TCP, which can't be forged.
        public var grantsOverUDP: Int { grants - grants / 4 }
        /// What copies of other nodes' grants may take of `grants`: the rest is for this node's own clients.
        public var copies: Int { grants / 2 }
    }

    public struct Quarantine: Hashable, Sendable {
        /// Denials from one source.
        public var after = 20
        public var within: Duration = .seconds(60)
        public var lasts: Duration = .seconds(600)
        /// Clients that a rule names, too; never on the evidence of UDP.
        public var includesListed = false
        /// Further clients are denied like any other, and not shut out.
        public static let clientsMax = 65_536
        public init() {}
    }

    public struct Audit: Hashable, Sendable {
        public enum Destination: String, Hashable, Sendable, CaseIterable {
            case journal
            case stderr
            case file
        }
        /// The permitted calls that get a log line; the counters count all.
        public enum Permitted: String, Hashable, Sendable, CaseIterable {
            case all
            /// One for each client, program and transport of its service within a day.
            case first
            case none
        }
        public var destination: Destination = .journal
        public var file: String?
        public var permitted: Permitted = .all
        /// The host's name in each line; `nil`: none.
        public var host: String?
        public init() {}
    }

    public var mode: Mode = .enforce
    /// A file, or a folder of `*.yaml`; absolute, or relative to the configuration file's folder.
    public var policyPath = "policy.d/"
    public var listen = [Endpoint(.v4(0), 111), Endpoint(.v6(0), 111)]
    public var rpcbind = Rpcbind()
    public var firewall = Firewall()
    public var denial = Denial()
    public var limits = Limits()
    /// `nil`: off.
    public var quarantine: Quarantine? = Quarantine()
    public var audit = Audit()
    /// `nil`: this host alone.
    public var gateway: Gateway?
    /// `nil`: this host belongs to no fleet.
    public var fleet: Fleet?
    /// `nil`: no metrics listener.
    public var metrics: Endpoint?
    public var controlPath = "/run/rpcwarden/control.sock"

    public init() {}

    /// The table that these settings ask for.
    public var tableShape: TableShape {
        var shape = TableShape(
            name: firewall.table, management: firewall.management, observes: mode == .observe, mark: firewall.mark,
            keep: firewall.keep, grantsMax: Self.setSize(for: limits.grants))
        // An administrator adds chains to a table that holds only sets.
        shape.isOwned = firewall.ownsTable && firewall.management == .guardPorts
        shape.logGroup = firewall.logGroup
        shape.flowMark = firewall.flowMark
        shape.ownFlowMark = firewall.ownFlowMark
        shape.quarantinesMax = Self.setSize(for: Quarantine.clientsMax)
        shape.gateway = gateway?.shape
        return shape
    }

    /// The kernel counts an expired element until it sweeps, about once a second, and the twins that packets add.
    ///
    /// Half as much again makes its hash table no larger for most values, the default among them.
    private static func setSize(for elements: Int) -> Int { elements + max(elements / 2, 1024) }
}
