import Addresses
import AuditTrail
import Calls
import Configuration
import Exchanges
import Firewall
import Gate
import Policy
import Portmapper

/// The settings and the policy in force about one server, and what they decide about calls and ports. It never changes;
/// a reload makes another one.
public final class Rulebook: Sendable {
    public let settings: Settings
    /// The policies about all servers.
    let policies: PolicySet
    public let policy: Policy
    /// The rules of the policy with host names that are not resolved yet.
    public let pending: PendingRules
    /// The ports that are neither guarded nor opened: a few, and each look-up asks.
    private let never: [UInt16]

    public init(settings: Settings, policies: PolicySet, server: ServerNumber = 0) {
        self.settings = settings
        self.policies = policies
        policy = policies[server].policy
        pending = policies[server].pending
        never = settings.firewall.never.sorted()
    }

    public convenience init(settings: Settings, policy: Policy, pending: PendingRules = .none) {
        self.init(settings: settings, policies: PolicySet(policy, pending: pending))
    }

    /// Whether any rule names the client, be it about another server.
    func lists(_ client: IPAddress) -> Bool { policies.lists(client) }

    /// Whether the peer is on this host, or named by a rule.
    func isKnown(_ peer: Peer) -> Bool { peer.isLocal || lists(peer.address) }

    /// Decides by policy alone whether the call may go on: the same for registered and unregistered programs.
    public func decide(_ call: PortmapperCall, from peer: Peer) -> Result<Permission, DenialReason> {
        switch call {
        case .set, .unset, .setMapping, .unsetMapping:
            peer.isLocal && settings.rpcbind.permitsLocalRegistration
                ? .success(.local) : .failure(.remoteRegistration)
        case .callIt, .broadcast, .indirect: .failure(.remoteCall)
        case .getTime, .universalToTransportAddress, .transportToUniversalAddress, .getStatistics:
            .failure(isKnown(peer) ? .notServed : .stranger)
        case .null: isKnown(peer) ? .success(.local) : .failure(.stranger)
        case .getPort(let mapping):
            decideLookup(of: mapping.program, over: mapping.transport ?? peer.transport, from: peer)
        case .getAddress(_, let rpcb), .getVersionAddress(let rpcb):
            decideLookup(of: rpcb.program, over: peer.transport, from: peer)
        case .getAddressList(let rpcb): decideLookup(of: rpcb.program, from: peer)
        case .dump: decideListing(from: peer)
        }
    }

    /// The permission that observe mode gives although enforce mode denies the call. What isn't served is nobody's. A
    /// stranger over UDP, whose address may be forged, gets nothing that is sure to be longer than its call.
    func lifted(_ reason: DenialReason, of call: PortmapperCall, from peer: Peer) -> Permission? {
        guard settings.mode == .observe, reason.isLiftedByObserving, call.kind != .unserved,
            !(call.kind == .listing && peer.transport == .udp && !isKnown(peer))
        else { return nil }
        return Permission(rule: nil, open: .never, liftedDenial: reason)
    }

    private func decideLookup(
        of program: Program, over transport: Transport, from peer: Peer
    ) -> Result<Permission, DenialReason> {
        if peer.isLocal { return .success(.local) }
        if program == .portmapper { return lists(peer.address) ? .success(.local) : .failure(.stranger) }
        switch policy.newLookup(program, over: transport, by: peer.address) {
        case .permitted(let rule, let open):
            return .success(Permission(rule: policy.rules[rule].label, open: open))
        // A client of another server is no stranger.
        case .stranger: return .failure(policies.listsElsewhere(peer.address) ? .noRule : .stranger)
        case .noRule: return .failure(.noRule)
        case .transport: return .failure(.transport)
        }
    }

    /// GETADDRLIST names one program, over all netids: it looks up the services that the client may use over any
    /// transport.
    private func decideLookup(of program: Program, from peer: Peer) -> Result<Permission, DenialReason> {
        let decisions = Transport.allCases.map { decideLookup(of: program, over: $0, from: peer) }
        for case .success(let permission) in decisions { return .success(permission) }
        return decisions[0]
    }

    private func decideListing(from peer: Peer) -> Result<Permission, DenialReason> {
        if peer.isLocal { return .success(.local) }
        switch policy.listing(by: peer.address) {
        case .permitted where peer.transport == .udp && !settings.limits.listsOverUDP: return .failure(.listOverUDP)
        case .permitted(let rule):
            return .success(Permission(rule: policy.rules[rule].label, open: .never))
        case .stranger: return .failure(policies.listsElsewhere(peer.address) ? .noList : .stranger)
        case .noList: return .failure(.noList)
        }
    }

    // MARK: Ports

    /// The program's port for the client, with the opening that policy gives it; `nil` if policy permits none.
    func opening(_ program: Program, at port: ServicePort, for client: IPAddress) -> ServiceOpening? {
        opening(program, at: port, by: policy.lookup(program, over: port.transport, by: client))
    }

    /// The same for a new look-up.
    func newOpening(_ program: Program, at port: ServicePort, for client: IPAddress) -> ServiceOpening? {
        opening(program, at: port, by: policy.newLookup(program, over: port.transport, by: client))
    }

    @inline(__always)
    private func opening(
        _ program: Program, at port: ServicePort, by decision: LookupDecision
    ) -> ServiceOpening? {
        guard case .permitted(let rule, let open) = decision else { return nil }
        return ServiceOpening(program: program, port: port, rule: policy.rules[rule].label, open: open)
    }

    /// Whether policy lets the client have the program's port opened.
    func opens(_ program: Program, _ key: GrantKey) -> Bool {
        guard case .permitted(_, let open) = policy.lookup(program, over: key.service.transport, by: key.client) else {
            return false
        }
        return open != .never
    }

    /// The range of clients, among them this one, for which the service is always open.
    func standing(_ service: ServiceOpening, holding client: IPAddress) -> AddressRange? {
        policy.standing(service.program, over: service.port.transport).range(holding: client)
    }

    /// Whether the port is neither guarded nor opened. A server's port 111 is closed in any case, and calls to a client's
    /// are intercepted, whatever is granted.
    func spares(_ service: ServicePort) -> Bool {
        never.contains(service.port)
            || service.server != .thisHost && service.port == Gate.portmapperPort
    }
}
