import Addresses

/// A program over one transport of its service.
public struct ServiceKey: TableKey, Sendable {
    public var program: Program
    public var transport: Transport

    public func combine(into hash: inout TableHash) {
        hash.combine(UInt64(transport.rawValue) << 32 | UInt64(program.rawValue))
    }

    public init(_ program: Program, _ transport: Transport) {
        self.program = program
        self.transport = transport
    }
}

/// The policy's decision about a lookup.
public enum LookupDecision: Hashable, Sendable {
    /// `rule` is an index into ``Policy/rules``.
    case permitted(rule: Int, open: Opening)
    /// No rule names the client.
    case stranger
    /// No rule that names the client permits the program.
    case noRule
    /// The program is permitted, but over another transport.
    case transport
}

/// The policy's decision about DUMP and GETADDRLIST.
public enum ListDecision: Hashable, Sendable {
    case permitted(rule: Int)
    case stranger
    case noList
}

/// The policy, compiled: clients that are named by the same rules share a class, and each class knows its
/// answers. An object, since each call asks it several times; it never changes.
public final class Policy: Sendable {
    struct Permission: Sendable {
        var rule: Int
        var open: Opening

        /// If several rules permit the same, the one that opens most counts, then the first.
        func outdoes(_ other: Permission) -> Bool { open != other.open ? open > other.open : rule < other.rule }
    }

    fileprivate struct ClientClass: Sendable {
        var rules: [Int] = []
        var permissions: [ServiceKey: Permission] = [:]
        var listed: Set<ServiceKey> = []
        var listRule: Int?
        /// `nil` if no rule names a range. Consulted after `permissions`, which includes the ranges' share for
        /// its programs.
        var ranges: RangePermissions?
    }

    public let rules: [Rule]
    private let classes: [ClientClass]
    /// The class of each client.
    private let clients: ClientMap
    private let standing: [ServiceKey: [AddressRange]]
    /// The services of programs that rules with `open: always` name only by a range.
    private let rangesStanding: StandingRanges
    private let hasExpiredRules: Bool

    /// Compiles `rules`; `addresses` holds the resolved addresses of their host names.
    public init(rules: [Rule] = [], addresses: [String: HostAddresses] = [:]) {
        self.rules = rules
        hasExpiredRules = rules.contains(where: \.isExpired)
        var classes = [ClientClass()]
        var numbers: [[Int]: Int] = [[]: 0]
        func classOf(_ members: [Int]) -> Int {
            if let number = numbers[members] { return number }
            numbers[members] = classes.count
            classes.append(ClientClass(members, of: rules))
            return classes.count - 1
        }
        let boundaries = Self.boundaries(of: rules, addresses)
        let clients = ClientMap(
            ipv4: IntervalMap(boundaries.ipv4, classOf: classOf), ipv6: IntervalMap(boundaries.ipv6, classOf: classOf))
        let all = classes
        standing = Dictionary(
            uniqueKeysWithValues: Self.standingKeys(of: rules).map { key in
                let isStanding = all.map { $0.permission(of: key)?.open == .always }
                return (key, clients.ranges { isStanding[$0] })
            })
        rangesStanding = StandingRanges(rules) { members in
            let members = Set(members)
            let isStanding = all.map { $0.rules.contains(where: members.contains) }
            return clients.ranges { isStanding[$0] }
        }
        self.classes = all
        self.clients = clients
    }

    /// An index into `classes`. All clients of one class get the same answers.
    public func classNumber(of client: IPAddress) -> Int {
        clients.classNumber(of: client)
    }

    /// Whether any rule names the client.
    public func lists(_ client: IPAddress) -> Bool {
        !classes[classNumber(of: client)].rules.isEmpty
    }

    /// The clients that the rules name: disjoint ranges, ascending within each family.
    public var named: [AddressRange] {
        clients.ranges { !classes[$0].rules.isEmpty }
    }

    /// The rules that name the client: indices into ``rules``, ascending.
    public func rules(naming client: IPAddress) -> [Int] {
        classes[classNumber(of: client)].rules
    }

    /// Whether `client` may look up `program` and reach its service over `transport`.
    public func lookup(_ program: Program, over transport: Transport, by client: IPAddress) -> LookupDecision {
        let number = classNumber(of: client)
        if classes[number].rules.isEmpty { return .stranger }
        if let permission = classes[number].permissions[ServiceKey(program, transport)] {
            return .permitted(rule: permission.rule, open: permission.open)
        }
        if let permission = classes[number].ranges?.permission(of: ServiceKey(program, transport)) {
            return .permitted(rule: permission.rule, open: permission.open)
        }
        let other: Transport = transport == .tcp ? .udp : .tcp
        return classes[number].permission(of: ServiceKey(program, other)) == nil ? .noRule : .transport
    }

    /// The same for a new look-up, which no expired rule permits.
    public func newLookup(_ program: Program, over transport: Transport, by client: IPAddress) -> LookupDecision {
        guard hasExpiredRules else { return lookup(program, over: transport, by: client) }
        let naming = rules(naming: client)
        if naming.isEmpty { return .stranger }
        let permitting = naming.filter { !rules[$0].isExpired && rules[$0].names(program) }
        let permissions = permitting.filter { rules[$0].over.contains(transport) }
            .map { Permission(rule: $0, open: rules[$0].open) }
        guard let first = permissions.first else { return permitting.isEmpty ? .noRule : .transport }
        let best = permissions.dropFirst().reduce(first) { $1.outdoes($0) ? $1 : $0 }
        return .permitted(rule: best.rule, open: best.open)
    }

    public func listing(by client: IPAddress) -> ListDecision {
        let number = classNumber(of: client)
        if classes[number].rules.isEmpty { return .stranger }
        guard let rule = classes[number].listRule else { return .noList }
        return .permitted(rule: rule)
    }

    /// Whether a rule that lists for `client` covers the program over that transport.
    public func lists(_ program: Program, over transport: Transport, for client: IPAddress) -> Bool {
        lists(program, over: transport, forClass: classNumber(of: client))
    }

    /// The same for all clients of a class (``classNumber(of:)``).
    public func lists(_ program: Program, over transport: Transport, forClass number: Int) -> Bool {
        let key = ServiceKey(program, transport)
        return classes[number].listed.contains(key) || (classes[number].ranges?.lists(key) ?? false)
    }

    /// The clients for which the service is always open: disjoint, ascending.
    public func standing(_ program: Program, over transport: Transport) -> [AddressRange] {
        standing[ServiceKey(program, transport)] ?? rangesStanding[ServiceKey(program, transport)]
    }

    /// The clients that may have the program's port opened, over any transport: disjoint, ascending.
    public func clients(opening program: Program) -> [AddressRange] {
        let mayOpen = classes.map { clients in
            Transport.allCases.contains {
                clients.permission(of: ServiceKey(program, $0)).map { $0.open != .never } ?? false
            }
        }
        return clients.ranges { mayOpen[$0] }
    }

    /// Whether the client is one of ``clients(opening:)``.
    public func opens(_ program: Program, to client: IPAddress) -> Bool {
        Transport.allCases.contains { transport in
            guard case .permitted(_, let open) = lookup(program, over: transport, by: client) else { return false }
            return open != .never
        }
    }

    /// The clients to which any rule permits anything over the transport: disjoint, ascending.
    public func clients(over transport: Transport) -> [AddressRange] {
        let isPermitted = classes.map { clients in
            clients.permissions.keys.contains { $0.transport == transport }
                || (clients.ranges?.permitsAnything(over: transport) ?? false)
        }
        return clients.ranges { isPermitted[$0] }
    }
}

/// The class of each client, as its number.
private struct ClientMap: Sendable {
    var ipv4: IntervalMap<UInt32>
    var ipv6: IntervalMap<IPv6Bits>

    func classNumber(of client: IPAddress) -> Int {
        switch client {
        case .v4(let bits): ipv4(bits)
        case .v6(let bits): ipv6(bits)
        }
    }

    /// The clients of the classes for which `isIncluded` holds: disjoint, ascending within each family.
    func ranges(where isIncluded: (Int) -> Bool) -> [AddressRange] {
        ipv4.ranges(where: isIncluded).map { AddressRange(.v4($0.lowerBound), .v4($0.upperBound)) }
            + ipv6.ranges(where: isIncluded).map { AddressRange(.v6($0.lowerBound), .v6($0.upperBound)) }
    }
}

extension Policy.ClientClass {
    fileprivate init(_ members: [Int], of rules: [Rule]) {
        self.rules = members
        for index in members {
            let rule = rules[index]
            let lists = rule.lists && !rule.isExpired
            if lists, listRule == nil { listRule = index }
            for program in rule.to {
                for transport in rule.over {
                    let key = ServiceKey(program, transport)
                    if lists { listed.insert(key) }
                    if let present = permissions[key], present.open >= rule.open { continue }
                    permissions[key] = .init(rule: index, open: rule.open)
                }
            }
        }
        ranges = RangePermissions(members, of: rules)
        guard let ranges else { return }
        for (key, permission) in permissions {
            if let other = ranges.permission(of: key), other.outdoes(permission) { permissions[key] = other }
        }
    }

    fileprivate func permission(of key: ServiceKey) -> Policy.Permission? {
        permissions[key] ?? ranges?.permission(of: key)
    }
}

extension Policy {
    private typealias Boundaries = (ipv4: [Boundary<UInt32>], ipv6: [Boundary<IPv6Bits>])

    private static func boundaries(of rules: [Rule], _ addresses: [String: HostAddresses]) -> Boundaries {
        var result: Boundaries = ([], [])
        for (index, rule) in rules.enumerated() where canExcept(rule, addresses) {
            for (terms, isException) in [(rule.from, false), (rule.except, true)] {
                for term in terms {
                    switch term {
                    case .prefix(let prefix): add(prefix.range, rule: index, isException: isException, to: &result)
                    case .host(let name):
                        for address in addresses[name]?.known ?? [] {
                            let range = AddressRange(address, address)
                            add(range, rule: index, isException: isException, to: &result)
                        }
                    }
                }
            }
        }
        return result
    }

    private static func add(_ range: AddressRange, rule: Int, isException: Bool, to boundaries: inout Boundaries) {
        switch (range.first, range.last) {
        case (.v4(let first), .v4(let last)):
            Boundary.add(first, last, rule: rule, isException: isException, to: &boundaries.ipv4)
        case (.v6(let first), .v6(let last)):
            Boundary.add(first, last, rule: rule, isException: isException, to: &boundaries.ipv6)
        case (.v4, .v6), (.v6, .v4): preconditionFailure("a range runs in one family")
        }
    }

    /// A rule permits no client until all addresses that it excepts are known.
    private static func canExcept(_ rule: Rule, _ addresses: [String: HostAddresses]) -> Bool {
        rule.except.allSatisfy { term in
            if case .host(let name) = term { addresses[name]?.isWhole ?? false } else { true }
        }
    }

    private static func standingKeys(of rules: [Rule]) -> Set<ServiceKey> {
        var keys: Set<ServiceKey> = []
        for rule in rules where rule.open == .always {
            for program in rule.to { for transport in rule.over { keys.insert(ServiceKey(program, transport)) } }
        }
        return keys
    }
}
