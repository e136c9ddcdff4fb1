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
        // Compared by the rules' indices: comparing whole rules would be quadratic in the servers.
        var compiled: [[Int]: Part] = [:]
        func part(about server: String?) -> Part {
            let about = rules.indices.filter { rules[$0].at.covers(server) }
            if let known = compiled[about] { return known }
            let rules = about.map { rules[$0] }
            let part = Part(
                policy: Policy(rules: rules, addresses: addresses),
                pending: PendingRules(rules: rules, addresses: addresses))
            compiled[about] = part
            return part
        }
        parts = [part(about: nil)] + servers.map { part(about: $0) }
        ruleCount = rules.count
        everyone = servers.isEmpty ? nil : AddressRanges(compiled.values.flatMap(\.policy.named).union)
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
