import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import Firewall
import ONCRPC
import Policy
import Portmapper
import TestSupport

extension ProgramNames {
    public static let wellKnown = ProgramNames(
        etcRPC: "portmapper 100000\nnfs 100003\nmountd 100005\nnlockmgr 100021\nstatus 100024\nnfs_acl 100227\n")
}

extension Program {
    public static let quota = Program(100_011)
    public static let nfsACL = Program(100_227)
    /// A program without a registration, which no rule permits.
    public static let unheardOf = Program(200_000)
}

public func range(_ text: String) -> AddressRange { prefix(text).range }

public func prefix(_ text: String) -> Prefix {
    let parts = text.split(separator: "/")
    let address = ip(String(parts[0]))
    let length = parts.count > 1 ? Int(parts[1]) : nil
    guard let prefix = Prefix(address, length: length ?? (address.isIPv4 ? 32 : 128)) else {
        preconditionFailure("\(text) is no prefix")
    }
    return prefix
}

extension ServicePort {
    public static func tcp(_ port: UInt16) -> Self { ServicePort(.tcp, port) }
    public static func udp(_ port: UInt16) -> Self { ServicePort(.udp, port) }
}

extension RateLimiter.Key {
    /// The key of a stranger.
    public init(_ address: IPAddress, _ transport: Transport) { self.init(address, transport, isListed: false) }
}

extension Peer {
    public static func stranger(_ address: String, _ transport: Transport = .udp) -> Peer {
        var peer = Peer.stranger.over(transport)
        peer.address = ip(address)
        return peer
    }
}

extension GrantKey {
    public init(_ client: String, _ service: ServicePort) { self.init(client: ip(client), service: service) }
}

extension StandingKey {
    public init(_ clients: String, _ service: ServicePort) { self.init(clients: range(clients), service: service) }
}

extension Rule {
    public static func sample(
        _ name: String = "clients mount", from: [String] = ["10.1.0.0/16", "2001:db8:1::/48"], except: [String] = [],
        to: Set<Program> = [.mountd], over: Set<Transport> = [.tcp, .udp], lists: Bool = false,
        open: Opening = .onLookup
    ) -> Rule {
        Rule(
            name: name, location: Location(file: "/etc/rpcwarden/policy.d/policy.yaml", line: 3, column: 5),
            from: from.map { .prefix(prefix($0)) }, except: except.map { .prefix(prefix($0)) }, to: to, over: over,
            lists: lists, open: open)
    }
}

extension Settings {
    public func with(_ change: (inout Settings) -> Void) -> Settings {
        var settings = self
        change(&settings)
        return settings
    }

    public static let observing = Settings().with { $0.mode = .observe }
}

extension RPCB {
    public init(_ program: Program, _ version: UInt32, _ netID: NetID, _ address: String, owner: String = "superuser") {
        self.init(program: program, version: version, netID: netID.rawValue, address: address, owner: owner)
    }

    /// A registration at the wildcard address.
    public init(_ program: Program, _ version: UInt32, _ netID: NetID, port: UInt16, owner: String = "superuser") {
        let host = netID.isIPv4 ? "0.0.0.0" : "::"
        self.init(program, version, netID, "\(host).\(port >> 8).\(port & 255)", owner: owner)
    }

    /// rpcbind's own entries, at the ports where the drop-in moved it.
    public static let ownPlaces: [RPCB] = [2, 3, 4].flatMap { version in
        [
            RPCB(.portmapper, version, .tcp, "127.0.0.1.4.87"), RPCB(.portmapper, version, .udp, "127.0.0.1.4.87"),
            RPCB(.portmapper, version, .tcp6, "::1.4.87"), RPCB(.portmapper, version, .udp6, "::1.4.87"),
            RPCB(.portmapper, version, .local, "/run/rpcbind.sock"),
        ]
    }

    /// A registration over each of the four netids.
    public static func everywhere(_ program: Program, _ version: UInt32, port: UInt16, owner: String = "superuser")
        -> [RPCB]
    {
        [NetID.tcp, .udp, .tcp6, .udp6].map { RPCB(program, version, $0, port: port, owner: owner) }
    }
}

extension [RPCB] {
    /// nfs at 2049, mountd at 20048; statd at 662, registered by its own user.
    public static let typical: [RPCB] =
        RPCB.ownPlaces + RPCB.everywhere(.mountd, 3, port: 20048) + RPCB.everywhere(.nfs, 3, port: 2049)
        + RPCB.everywhere(.status, 1, port: 662, owner: "102")
}

extension Peer {
    public static let server = ip("10.1.0.1")
    public static let server6 = ip("2001:db8:1::1")

    public static func from(
        _ address: String, _ transport: Transport = .udp, port: UInt16 = 700, asking asked: IPAddress? = nil,
        channel: UInt64 = 1, interface: UInt32 = 2, isLocal: Bool = false, isIntercepted: Bool = false
    ) -> Peer {
        let client = ip(address)
        let host = asked ?? (client.isIPv4 ? server : server6)
        return Peer(
            address: client, port: port, transport: transport, asked: UniversalAddress(host: host, port: 111),
            channel: channel, interface: interface, isLocal: isLocal, isIntercepted: isIntercepted)
    }

    public static let stranger = Peer.from("192.0.2.9")
    public static let named = Peer.from("10.1.2.3")
    public static let loopback = Peer.from("127.0.0.1", asking: ip("127.0.0.1"), interface: 1, isLocal: true)

    public func over(_ transport: Transport) -> Peer {
        var peer = self
        peer.transport = transport
        return peer
    }
}

extension Question {
    public static func port(of program: Program, _ transport: Transport = .tcp, version: UInt32 = 3) -> Self {
        .port(Mapping(program: program, version: version, protocolNumber: UInt32(transport.rawValue), port: 0))
    }
}

extension PortmapperCall {
    public static func port(of program: Program, _ transport: Transport = .tcp, version: UInt32 = 3) -> Self {
        .getPort(Mapping(program: program, version: version, protocolNumber: UInt32(transport.rawValue), port: 0))
    }

    public static func address(of program: Program, version: UInt32 = 3, as procedure: PortmapperVersion = .v4) -> Self
    {
        .getAddress(procedure, RPCB(program: program, version: version, netID: "", address: "", owner: ""))
    }

    public static func versionAddress(of program: Program, version: UInt32 = 3) -> Self {
        .getVersionAddress(RPCB(program: program, version: version, netID: "", address: "", owner: ""))
    }

    public static func addressList(of program: Program, version: UInt32 = 3) -> Self {
        .getAddressList(RPCB(program: program, version: version, netID: "", address: "", owner: ""))
    }
}

extension PortmapperResult {
    /// The body of the reply that carries the result.
    public var body: Reply.Body { .success(encoded) }
}

public let authError = Reply.Body.authError(.failed)

extension Reply.Body {
    public static let mountPort = PortmapperResult.port(20048).body
}

extension GrantKey {
    /// The grant of a client that the sample rule names, at mountd's port.
    public static let mount = GrantKey("10.1.2.3", .tcp(20048))
}
