import Calls
import Clock
import Configuration
import Firewall
import Policy

extension Warden {
    /// Policy, or the settings that may change at run time, were read anew; host names may have new addresses.
    ///
    /// Grants and elements that the new policy doesn't permit are revoked with the next transaction; the rest
    /// lives on untouched.
    public mutating func policyReplaced(
        _ policy: Policy, pending: PendingRules = .none, settings: Settings, at now: Instant,
        into actions: inout [Action]
    ) {
        if settings.limits != self.settings.limits {
            rates = Self.rateLimiter(settings.limits)
            connections.limitsReplaced(settings.limits)
            for forgotten in memory.trim(to: settings.limits.grants) { writer.forget(forgotten) }
        }
        self.policy = policy
        self.pending = pending
        if pending.isEmpty { unjudged = Unjudged() }
        self.settings = settings
        lives = GrantLives(settings.firewall)
        writer.shapeReplaced(settings.tableShape)
        areServicesSettled = false
        settleServices(at: now, into: &actions)
        if registry == nil { keepAdopted() }
        revokeExcess()
        forgetUnpermitted(into: &actions)
        releaseUnfit(at: now, into: &actions)
        decideAnew(at: now, into: &actions)
        flush(at: now, into: &actions)
    }

    /// Without a registry, the elements of an earlier run stay as far as policy permits them; ports to guard may
    /// be new.
    private mutating func keepAdopted() {
        var elements = elements()
        elements.standing = Set(keptStanding.flatMap(permitted)).union(admitted)
        writer.desire(elements)
        for (key, grant) in ledger.all {
            let isPermitted = grant.programs.contains { opens($0, key) || mayOpen($0, key) }
            if !isPermitted { revoke(key, Self.noLongerPermitted) }
        }
    }

    /// The part of the element that policy permits; all of it if its programs aren't known.
    private func permitted(_ element: StandingKey) -> [StandingKey] {
        let (programs, transport) = (services.lastPrograms(at: element.service), element.service.transport)
        let mayStand = programs.contains { pending.mayStand(element.clients, $0, over: transport) }
        guard !programs.isEmpty, !mayStand else { return [element] }
        let denied = [element.clients].subtracting(programs.flatMap { policy.standing($0, over: transport) }.union)
        return [element.clients].subtracting(denied).map { StandingKey(clients: $0, service: element.service) }
    }

    /// Calls under way are answered by the policy that is in force at the answer.
    private mutating func decideAnew(at now: Instant, into actions: inout [Action]) {
        for (id, exchange) in exchanges.all {
            let request = exchange.request
            switch decide(request.call, from: request.peer) {
            case .success(let permission): permit(id, exchange, permission)
            case .failure(let reason) where isLifted(reason, of: request.call, from: request.peer):
                permit(id, exchange, Permission(rule: nil, open: .never, liftedDenial: reason))
            case .failure(let reason): deny(id, reason, at: now, into: &actions)
            }
        }
    }

    private mutating func permit(_ id: Exchange.ID, _ exchange: Exchange, _ permission: Permission) {
        var exchange = exchange
        exchange.request = exchange.request.with(permission)
        exchange.services = exchange.services.map { decideAnew($0, of: exchange.request.peer) }
        exchanges.change(id) { $0 = exchange }
    }

    private func decideAnew(_ service: Exchange.Service, of peer: Peer) -> Exchange.Service {
        var service = service
        switch policy.lookup(service.program, over: service.port.transport, by: peer.address) {
        case .permitted(let rule, let open): (service.rule, service.open) = (policy.rules[rule].label, open)
        case .stranger, .noRule, .transport: (service.rule, service.open) = (nil, .never)
        }
        return service
    }
}
