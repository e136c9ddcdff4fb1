import Addresses
import AuditTrail
import Calls
import HostNames
import ONCRPC
import Policy
import PolicyFile
import Portmapper
import Warden

/// The reason for the policy's decision about one client; the daemon's own code decides.
public struct Explanation {
    public struct Verdict: Hashable, Sendable {
        public var isPermitted: Bool
        public var text: String
    }

    private let rules: Rulebook
    private let names: ProgramNames
    private let client: IPAddress
    /// `nil`: this host.
    private let server: String?
    private let isLocal: Bool
    private let remarks: [String]

    /// All names are asked for at once.
    private static let resolutionMax: Duration = .seconds(5)

    /// Resolves the policy's host names, which may take some seconds.
    /// - Parameters:
    ///   - server: the server behind this gateway that is asked; `nil`: this host.
    ///   - ownAddresses: this host's, besides loopback.
    public init(
        of load: LoadResult, client: IPAddress, at server: String? = nil, ownAddresses: Set<IPAddress> = []
    ) {
        var remarks: [String] = []
        let all = BundleWatch(load.bundle, load.settings, at: HostClock.wallClock()).rules(load.rules)
        if all.contains(where: \.isExpired) {
            remarks.append("note: the fleet's policy has expired: its rules permit no new look-up")
        }
        // Rules about other servers tell whether the client is a stranger.
        let asked = server == nil && load.settings.gateway == nil ? all.about(nil) : all
        var addresses: [String: HostAddresses] = [:]
        let hosts = HostNameBook.names(in: asked).sorted()
        HostNames.neverSearch()
        let answers = HostNames.answers(for: hosts, within: Self.resolutionMax)
        for name in hosts {
            switch answers[name] {
            case .success(let found)?:
                addresses[name] = found
                if let family = found.unknown {
                    remarks.append(
                        "note: can't resolve \"\(name)\" for \(family): a rule that excepts it permits no client")
                }
                if found.isCut {
                    remarks.append(
                        "note: \"\(name)\" has more than \(HostAddresses.countMax) addresses: the others aren't permitted, "
                            + "and a rule that excepts the name permits no client")
                }
            case .failure(let failure)?: remarks.append("note: \(failure.description)")
            case nil:
                remarks.append(
                    "note: \"\(name)\" could not be resolved within \(Self.resolutionMax.components.seconds) s")
            }
        }
        let servers = load.settings.serverNames
        rules = Rulebook(
            settings: load.settings, policies: PolicySet(rules: asked, addresses: addresses, servers: servers),
            server: server.flatMap(servers.firstIndex).map { $0 + 1 } ?? 0)
        names = load.programNames
        self.client = client
        self.server = server
        isLocal = server == nil && (client.isLoopback || ownAddresses.contains(client))
        self.remarks = remarks
    }

    /// Whether the client may look up the program, and reach its service over that transport.
    public func lookup(_ program: Program, over transport: Transport) -> Verdict {
        let mapping = Mapping(
            program: program, version: 0, protocolNumber: UInt32(transport.rawValue), port: 0)
        let subject = "\(client) may look up \(describe(program)) over \(transport)\(place)"
        switch rules.decide(.getPort(mapping), from: peer(over: .tcp)) {
        case .success(let permission):
            return permitted(subject, by: permission.rule, open: permission.rule == nil ? nil : permission.open)
        case .failure(let reason):
            return denied(
                "\(client) may not look up \(describe(program)) over \(transport)\(place)", reason,
                missing(program, transport, reason))
        }
    }

    /// Whether the client may list the registrations by a call over that transport.
    public func listing(over transport: Transport) -> Verdict {
        switch rules.decide(.dump(.v4), from: peer(over: transport)) {
        case .success(let permission):
            let listed =
                permission.rule == nil
                ? "all registrations" : "the registrations\(place) that its listing rules name"
            return permitted("\(client) may list \(listed)", by: permission.rule, open: nil)
        case .failure(let reason):
            return denied("\(client) may not list\(place) over \(transport)", reason, missing(nil, transport, reason))
        }
    }

    private var place: String { server.map { " at \($0)" } ?? "" }

    private func peer(over transport: Transport) -> Peer {
        // An address that no client has: a client that asks its own address would be on this host.
        let asked: IPAddress = client.isIPv4 ? .v4(0) : .v6(0)
        return Peer(
            address: client, port: 1023, transport: transport, asked: UniversalAddress(host: asked, port: 111),
            channel: 0, isLocal: isLocal)
    }

    private func permitted(_ subject: String, by rule: String?, open: Opening?) -> Verdict {
        let by =
            rule.map { "by \($0)" }
            ?? (isLocal ? "as a client on this host" : "as a client that a rule names")
        let opens = open.map { "\nopen: \($0.rawValue) (\(Self.meaning(of: $0)))" } ?? ""
        return Verdict(isPermitted: true, text: "permitted: \(subject)\n\(by)\(opens)" + notes)
    }

    private func denied(_ subject: String, _ reason: DenialReason, _ missing: String) -> Verdict {
        Verdict(isPermitted: false, text: "denied: \(subject)\nreason: \(reason.rawValue)\n\(missing)" + notes)
    }

    private var notes: String { remarks.map { "\n" + $0 }.joined() }

    private static func meaning(of open: Opening) -> String {
        switch open {
        case .never: "the port is returned, but not opened"
        case .onLookup: "the port opens for this client at its look-up"
        case .always: "the port is always open for this client"
        }
    }

    /// The rule that is missing for the call to be permitted.
    private func missing(_ program: Program?, _ transport: Transport, _ reason: DenialReason) -> String {
        let naming = rules.policy.rules(naming: client).map { "  \(rules.policy.rules[$0].label)" }
            .joined(separator: "\n")
        switch reason {
        case .stranger:
            return server.map {
                "missing: no rule with \($0) in `at` names \(client) in `from` (or `except` excludes it)"
            }
                ?? "missing: no rule names \(client) in `from` (or `except` excludes it)"
        case .noRule where naming.isEmpty:
            return "missing: rules name \(client), but none of them is about \(server ?? "this host"); see `at`"
        case .noList where naming.isEmpty:
            return "missing: rules name \(client), but none of them is about \(server ?? "this host"); see `at`"
        case .noRule:
            return
                "missing: none of the rules that name \(client) has \(program.map { describe($0) } ?? "it") in `to`:\n\(naming)"
        case .transport: return "missing: `over: [\(transport)]` in one of the rules that name \(client):\n\(naming)"
        case .noList: return "missing: `list: true` in one of the rules that name \(client):\n\(naming)"
        case .listOverUDP: return "missing: `udp-list: true` in `limits`; over tcp the listing is permitted"
        case .remoteRegistration, .remoteCall, .notServed, .untrustedOwner, .notListening, .neverPort,
            .rate,
            .grantsFull, .firewallFailed, .rpcbindDown, .broadcast:
            return "missing: \(reason.rawValue)"
        }
    }

    private func describe(_ program: Program) -> String {
        names.name(of: program).map { "\($0) (\(program))" } ?? "program \(program)"
    }
}
