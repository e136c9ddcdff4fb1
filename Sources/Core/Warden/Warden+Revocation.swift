import Addresses
import Clock
import Firewall
import Policy

/// What an operator's `revoke` did, and what it can't do.
public struct Revocation: Hashable, Sendable {
    /// They will be revoked, and their flows cut.
    public var grants: [GrantKey] = []
    /// Rules with `open: always` that let the client in all the same; its flows there were cut.
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
    /// An operator ends a client's grants and flows; `nil` stands for any.
    public mutating func revoke(
        client: IPAddress, port: UInt16?, transport: Transport?, at now: Instant, into actions: inout [Action]
    ) -> Revocation {
        func matches(_ service: ServicePort) -> Bool {
            (port == nil || service.port == port) && (transport == nil || service.transport == transport)
        }
        var revocation = Revocation()
        revocation.grants = ledger.keys.filter { $0.client == client && matches($0.service) }.sorted()
        for key in revocation.grants { revoke(key, "by the operator") }
        // What the client only held once must not come back either.
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
