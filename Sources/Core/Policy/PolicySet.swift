import Addresses

/// The policy of this host and the policies of the servers behind it, compiled from the same rules.
///
/// Servers with the same rules share one policy. An object, since each call asks it; it never changes.
public final class PolicySet: Sendable {
    public struct Part: Sendable {
        public let policy: Policy
        /// The rules of the policy with host names that are not resolved yet.
        public let pending: PendingRules

        public init(policy: Policy, pending: PendingRules = .none) {
            self.policy = policy
            self.pending = pending
        }
    }

    /// By ``ServerNumber``.
    private let parts: [Part]
    /// The clients that any rule names; `nil`: this host is the only server.
    private let everyone: AddressRanges?
    /// The rules about any server.
    public let ruleCount: Int

    /// - Parameters:
    ///   - addresses: the resolved addresses of the rules' host names.
    ///   - servers: the names of the servers behind this gateway, in the order of their numbers.
    public init(rules: [Rule], addresses: [String: HostAddresses] = [:], servers: [String] = []) {
        var compiled: [(rules: [Rule], part: Part)] = []
        func part(of rules: [Rule]) -> Part {
            if let known = compiled.first(where: { $0.rules == rules }) { return known.part }
            let part = Part(
                policy: Policy(rules: rules, addresses: addresses),
                pending: PendingRules(rules: rules, addresses: addresses))
            compiled.append((rules, part))
            return part
        }
        parts = [part(of: rules.about(nil))] + servers.map { part(of: rules.about($0)) }
        ruleCount = rules.count
        everyone = servers.isEmpty ? nil : AddressRanges(compiled.flatMap(\.part.policy.named).union)
    }

    /// This host is the only server.
    public init(_ policy: Policy, pending: PendingRules = .none) {
        parts = [Part(policy: policy, pending: pending)]
        everyone = nil
        ruleCount = policy.rules.count
    }

    public subscript(server: ServerNumber) -> Part { parts[server] }

    /// Whether a rule names the client, about this host or about any server.
    public func lists(_ client: IPAddress) -> Bool { everyone?.contains(client) ?? parts[0].policy.lists(client) }

    /// Whether a rule names the client, which none about the server that it asked does.
    public func listsElsewhere(_ client: IPAddress) -> Bool { everyone?.contains(client) ?? false }

    /// The clients that any rule names: disjoint ranges.
    public var named: [AddressRange] {
        parts.count == 1 ? parts[0].policy.named : parts.flatMap(\.policy.named).union
    }

    /// Whether every host name has its addresses.
    public var isComplete: Bool { parts.allSatisfy(\.pending.isEmpty) }
}
