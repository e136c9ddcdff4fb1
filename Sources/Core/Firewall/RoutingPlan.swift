import Addresses

/// The rules and routes by which intercepted packets reach this host's own sockets.
///
///     a client asks a server:   mark ─rule─▶ table: local SERVER …
///     a server asks a client:   mark ─rule─▶ table: throw SERVER …, local default
///
/// The tables and marks are ours alone: whatever else they contain is in excess.
public struct RoutingPlan: Hashable, Sendable {
    /// A routing table, and the bit of the packet mark that selects it.
    public struct Selection: Hashable, Sendable {
        public var mark: UInt32
        public var table: UInt32

        public init(mark: UInt32, table: UInt32) {
            self.mark = mark
            self.table = table
        }
    }

    /// Every address by which clients know a server.
    public var servers: Set<IPAddress>
    /// What clients ask servers.
    public let toServers: Selection
    /// What servers ask the portmappers of clients.
    public let toClients: Selection
    public var interceptsCallbacks: Bool

    /// - Parameters:
    ///   - toServers, toClients: different tables, none of them the kernel's own, and marks without a common bit.
    public init(
        servers: some Sequence<IPAddress>, toServers: Selection, toClients: Selection, interceptsCallbacks: Bool
    ) {
        // The configuration's parser refuses these. In the main table, all of the host's routes would be in excess.
        precondition(Self.isFree(toServers.table) && Self.isFree(toClients.table), "a table of the kernel's own")
        precondition(toServers.table != toClients.table && toServers.mark & toClients.mark == 0)
        precondition(toServers.mark != 0 && toClients.mark != 0, "a mark of 0 selects every packet")
        self.servers = Set(servers)
        self.toServers = toServers
        self.toClients = toClients
        self.interceptsCallbacks = interceptsCallbacks
    }

    /// Not `unspec`, `default`, `main` or `local` (rtnetlink(7)).
    private static func isFree(_ table: UInt32) -> Bool { table != 0 && !(253...255).contains(table) }

    // Fixed, so that a rule elsewhere in the list is recognized as wrong: without a preference, the kernel puts the
    // rule before all others, and its place depends on who came first. Before the main table (32766), a VRF's rule
    // (1000), and the rules of administrators and VPNs (mostly 1000 to 32765), any of which could send the packet
    // on to the server. To be first harms nobody: other packets don't have the mark. Behind the local table (0):
    // packets to this host itself aren't concerned.
    public static let toServersPreference: UInt32 = 111
    public static let toClientsPreference: UInt32 = 112

    /// In the order in which they are looked up, IPv4 first. A family without servers has none.
    public var rules: [RoutingRule] {
        families.flatMap { family in
            let rule = RoutingRule(family, toServers, preference: Self.toServersPreference)
            guard interceptsCallbacks else { return [rule] }
            return [rule, RoutingRule(family, toClients, preference: Self.toClientsPreference)]
        }
    }

    /// In the order in which they are safe to add: never `local default` without the exceptions from it.
    public var entries: [RoutingEntry] {
        families.flatMap { family in
            let servers = servers.filter { RoutingFamily($0) == family }.sorted()
            return servers.map { RoutingEntry(family, table: toServers.table, .local, $0) }
                + (interceptsCallbacks ? callbackEntries(family, servers) : [])
        }
    }

    /// The kernel validates a packet's source by a look-up with the packet's mark (rp_filter with src_valid_mark).
    /// The source is a server here, and a server isn't local.
    private func callbackEntries(_ family: RoutingFamily, _ servers: [IPAddress]) -> [RoutingEntry] {
        servers.map { RoutingEntry(family, table: toClients.table, .throw, $0) }
            + [RoutingEntry(family, table: toClients.table, .local, nil)]
    }

    /// All that is wanted, in the order in which it is added: a table before the rule that leads to it.
    public var parts: [RoutingPart] { entries.map { .entry($0) } + rules.map { .rule($0) } }

    private var families: [RoutingFamily] {
        RoutingFamily.allCases.filter { family in servers.contains { RoutingFamily($0) == family } }
    }
}

extension RoutingPlan {
    /// Nothing is wanted; the tables and marks are still ours.
    public var withoutServers: Self {
        var plan = self
        plan.servers = []
        return plan
    }

    public var tables: [UInt32] { [toServers.table, toClients.table] }

    /// Whether a rule that selects this table by this mark is ours, wanted or not.
    public func owns(mark: UInt32, mask: UInt32, table: UInt32) -> Bool {
        tables.contains(table) && mark == mask && (mark == toServers.mark || mark == toClients.mark)
    }
}
