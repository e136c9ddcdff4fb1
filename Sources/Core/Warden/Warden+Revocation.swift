import Addresses
import Clock
import Firewall
import Policy

/// The result of an operator's `revoke`, and the limits of it.
public struct Revocation: Hashable, Sendable {
    /// Grants that will be revoked, and their flows cut.
    public var grants: [GrantKey] = []
    /// Rules with `open: always` that still let the client in; its flows there were cut.
    public var admissions: [Admission] = []

    public init() {}

    public struct Admission: Hashable, Sendable {
        public var program: Program
        public var service: ServicePort
        /// The label of the rule.
        public var rule: String
    }
}

extension Warden {
    /// An operator ends a client's grants and flows; a `nil` port or transport stands for any.
    public mutating func revoke(
        client: IPAddress, port: UInt16?, transport: Transport?, at now: Instant, into actions: inout [Action]
    ) -> Revocation {
        func matches(_ service: ServicePort) -> Bool {
            (port == nil || service.port == port) && (transport == nil || service.transport == transport)
        }
        var revocation = Revocation()
        revocation.grants = ledger.keys.filter { $0.client == client && matches($0.service) }.sorted()
        for key in revocation.grants { revoke(key, "by the operator") }
        // Grants that the client once held must not come back either.
        for key in memory.entries.keys where key.client == client && matches(key.service) {
            forgetAndCut(key, into: &actions)
        }
        let standing = keptStanding.filter { $0.clients.contains(client) && matches($0.service) }
        for service in Set(standing.map(\.service)).sorted() {
            actions.append(.cutFlows(AddressRange(client, client), service))
            for program in services.programs(at: service).sorted() {
                guard
                    case .permitted(let rule, .always) = policy.lookup(program, over: service.transport, by: client)
                else { continue }
                revocation.admissions.append(
                    Revocation.Admission(program: program, service: service, rule: policy.rules[rule].label))
            }
        }
        flush(at: now, into: &actions)
        return revocation
    }
}
