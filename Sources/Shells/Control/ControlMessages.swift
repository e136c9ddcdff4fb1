import Activity

/// A call on the control socket: one JSON object on one line.
public struct ControlCall: Codable, Hashable, Sendable {
    public enum Command: String, Codable, Sendable {
        case status
        case grants
        case registry
        case denials
        case revoke
        case release
        case reload
        case stop
        case activity
    }

    public var command: Command
    public var client: String?
    public var port: UInt16?
    public var transport: String?
    /// `stop`: whether the guard is removed.
    public var opens: Bool?
    /// `denials`: how far back, in seconds.
    public var since: Int?
    /// `grants`, `registry` and `revoke`: only of this server behind the gateway.
    public var server: String?
    /// `activity`: grants to report on, ``ActivityReport/watchedMax`` of them at the most.
    public var watched: [GrantLabel]?
    /// `activity`: where to go on with the other grants, taken from ``ActivityReport/nextGrant``.
    public var nextGrant: Int?

    public init(
        _ command: Command, client: String? = nil, port: UInt16? = nil, transport: String? = nil, opens: Bool? = nil,
        since: Int? = nil, server: String? = nil, watched: [GrantLabel]? = nil, nextGrant: Int? = nil
    ) {
        self.command = command
        self.client = client
        self.port = port
        self.transport = transport
        self.opens = opens
        self.since = since
        self.server = server
        self.watched = watched
        self.nextGrant = nextGrant
    }
}

/// The reply on the control socket: one JSON object on one line, with exactly one of these parts.
public struct ControlReply: Codable, Hashable, Sendable {
    public var status: StatusReport?
    public var grants: [GrantRow]?
    public var registry: [RegistryRow]?
    public var denials: [DenialRow]?
    public var activity: ActivityReport?
    /// The changes in plain words, a line each.
    public var changes: [String]?
    /// The failed step with its value, and the remedy.
    public var failure: String?

    public init(
        status: StatusReport? = nil, grants: [GrantRow]? = nil, registry: [RegistryRow]? = nil,
        denials: [DenialRow]? = nil, activity: ActivityReport? = nil, changes: [String]? = nil, failure: String? = nil
    ) {
        self.status = status
        self.grants = grants
        self.registry = registry
        self.denials = denials
        self.activity = activity
        self.changes = changes
        self.failure = failure
    }
}

/// `status`.
public struct StatusReport: Codable, Hashable, Sendable {
    public struct Rpcbind: Codable, Hashable, Sendable {
        public var reachable: Bool
        public var registrations: Int
        /// `false`: a gateway does without an rpcbind of its own.
        public var needed: Bool?

        public init(reachable: Bool, registrations: Int, needed: Bool? = nil) {
            self.reachable = reachable
            self.registrations = registrations
            self.needed = needed
        }
    }

    public struct Table: Codable, Hashable, Sendable {
        public var name: String
        public var intact: Bool
        public var guarded: Int

        public init(name: String, intact: Bool, guarded: Int) {
            self.name = name
            self.intact = intact
            self.guarded = guarded
        }
    }

    public struct Policy: Codable, Hashable, Sendable {
        public var path: String
        public var rules: Int

        public init(path: String, rules: Int) {
            self.path = path
            self.rules = rules
        }
    }

    public var mode: String
    /// In seconds: how long the mode has been in force; `nil`: as long as the daemon runs.
    public var modeAge: Int?
    /// In seconds.
    public var uptime: Int
    public var version: String
    public var rpcbind: Rpcbind
    public var table: Table
    public var policy: Policy
    public var counts: [String: Int]
    /// `nil`: this host is no gateway.
    public var servers: [ServerReport]?
    /// `nil`: no policy of a fleet is in force.
    public var fleet: FleetReport?

    enum CodingKeys: String, CodingKey {
        case mode
        case modeAge = "mode_age"
        case uptime, version, rpcbind, table, policy, counts, servers, fleet
    }

    public init(
        mode: String, uptime: Int, version: String, rpcbind: Rpcbind, table: Table, policy: Policy,
        counts: [String: Int]
    ) {
        self.mode = mode
        self.uptime = uptime
        self.version = version
        self.rpcbind = rpcbind
        self.table = table
        self.policy = policy
        self.counts = counts
    }
}

/// One line of `grants`; times are RFC 3339, UTC.
public struct GrantRow: Codable, Hashable, Sendable {
    public var client: String
    public var transport: String
    public var port: UInt16
    public var program: UInt32?
    public var programName: String?
    public var rule: String?
    public var issued: String?
    public var expires: String
    public var packets: UInt64
    /// The server behind this gateway; `nil`: this host.
    public var server: String?

    enum CodingKeys: String, CodingKey {
        case client, transport, port, program
        case programName = "program_name"
        case rule, issued, expires, packets, server
    }

    public init(
        client: String, transport: String, port: UInt16, program: UInt32?, programName: String?, rule: String?,
        issued: String?, expires: String, packets: UInt64
    ) {
        self.client = client
        self.transport = transport
        self.port = port
        self.program = program
        self.programName = programName
        self.rule = rule
        self.issued = issued
        self.expires = expires
        self.packets = packets
    }
}

/// One line of `registry`.
public struct RegistryRow: Codable, Hashable, Sendable {
    public var program: UInt32
    public var programName: String?
    public var version: UInt32
    public var netid: String
    public var address: String
    public var owner: String
    public var trusted: Bool
    public var alive: Bool
    public var guarded: Bool
    /// The registration is gone, and its socket still listens.
    public var orphaned: Bool
    /// `false` if no packet filter sees the service's packets (RDMA).
    public var guardable: Bool
    /// The other programs at the same port; `nil` if there are none.
    public var sharesPortWith: [UInt32]?
    /// The server behind this gateway; `nil`: this host.
    public var server: String?

    enum CodingKeys: String, CodingKey {
        case program
        case programName = "program_name"
        case version, netid, address, owner, trusted, alive, guarded, orphaned, guardable, server
        case sharesPortWith = "shares_port_with"
    }

    public init(
        program: UInt32, programName: String?, version: UInt32, netid: String, address: String, owner: String,
        trusted: Bool, alive: Bool, guarded: Bool, orphaned: Bool = false, guardable: Bool = true
    ) {
        self.program = program
        self.programName = programName
        self.version = version
        self.netid = netid
        self.address = address
        self.owner = owner
        self.trusted = trusted
        self.alive = alive
        self.guarded = guarded
        self.orphaned = orphaned
        self.guardable = guardable
    }
}

/// One line of `denials`; times are RFC 3339, UTC.
public struct DenialRow: Codable, Hashable, Sendable {
    public var client: String
    public var reasons: [String]
    /// At most 32 of them are kept.
    public var programs: [UInt32]
    public var count: Int
    public var first: String
    public var last: String
    public var quarantined: Bool

    public init(
        client: String, reasons: [String], programs: [UInt32], count: Int, first: String, last: String,
        quarantined: Bool
    ) {
        self.client = client
        self.reasons = reasons
        self.programs = programs
        self.count = count
        self.first = first
        self.last = last
        self.quarantined = quarantined
    }
}
