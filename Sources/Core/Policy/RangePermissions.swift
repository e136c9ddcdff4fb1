import Addresses

/// The permissions of one class of clients for the programs that its rules name by ranges.
struct RangePermissions: Sendable {
    private struct Entry: Sendable {
        var permission: Policy.Permission
        var isListed: Bool
    }

    private var intervals: [Transport: IntervalMap<UInt32>] = [:]
    /// Entries by the intervals' classes; the first is for the numbers in no range.
    private var entries: [Entry?] = [nil]

    /// `nil` if none of the rules names a range.
    init?(_ members: [Int], of rules: [Rule]) {
        guard members.contains(where: { !rules[$0].programRanges.isEmpty }) else { return nil }
        var entries: [Entry?] = [nil]
        var numbers: [[Int]: Int] = [[]: 0]
        for transport in Transport.allCases {
            let boundaries = Self.boundaries(of: members.map { rules[$0] }, over: transport)
            intervals[transport] = IntervalMap(boundaries) { places in
                if let number = numbers[places] { return number }
                let number = entries.count
                entries.append(Self.entry(places.map { members[$0] }, of: rules))
                numbers[places] = number
                return number
            }
        }
        self.entries = entries
    }

    /// The positions at which each of the rules begins or ceases to name programs over the transport.
    static func boundaries(of rules: [Rule], over transport: Transport) -> [Boundary<UInt32>] {
        var boundaries: [Boundary<UInt32>] = []
        for (index, rule) in rules.enumerated() where rule.over.contains(transport) {
            for range in rule.programRanges.all {
                Boundary.add(
                    range.lowerBound.rawValue, range.upperBound.rawValue, rule: index, isException: false,
                    to: &boundaries)
            }
        }
        return boundaries
    }

    private static func entry(_ members: [Int], of rules: [Rule]) -> Entry? {
        guard let first = members.first else { return nil }
        var permission = Policy.Permission(rule: first, open: rules[first].open)
        for index in members {
            let other = Policy.Permission(rule: index, open: rules[index].open)
            if other.outdoes(permission) { permission = other }
        }
        return Entry(permission: permission, isListed: members.contains { rules[$0].lists && !rules[$0].isExpired })
    }

    func permission(of key: ServiceKey) -> Policy.Permission? { entry(of: key)?.permission }

    func lists(_ key: ServiceKey) -> Bool { entry(of: key)?.isListed ?? false }

    func permitsAnything(over transport: Transport) -> Bool {
        intervals[transport]?.classes.contains { $0 != 0 } ?? false
    }

    private func entry(of key: ServiceKey) -> Entry? {
        intervals[key.transport].flatMap { entries[$0(key.program.rawValue)] }
    }
}

/// The clients for which services are always open if their programs are named only by ranges.
struct StandingRanges: Sendable {
    private var intervals: [Transport: IntervalMap<UInt32>] = [:]
    private var clients: [[AddressRange]] = [[]]

    /// - Parameter clientsOf: the clients that any of these rules names.
    init(_ rules: [Rule], clientsOf: ([Int]) -> [AddressRange]) {
        let standing = rules.indices.filter { rules[$0].open == .always && !rules[$0].programRanges.isEmpty }
        guard !standing.isEmpty else { return }
        var clients: [[AddressRange]] = [[]]
        var numbers: [[Int]: Int] = [[]: 0]
        for transport in Transport.allCases {
            let boundaries = RangePermissions.boundaries(of: standing.map { rules[$0] }, over: transport)
            intervals[transport] = IntervalMap(boundaries) { places in
                if let number = numbers[places] { return number }
                let number = clients.count
                clients.append(clientsOf(places.map { standing[$0] }))
                numbers[places] = number
                return number
            }
        }
        self.clients = clients
    }

    subscript(key: ServiceKey) -> [AddressRange] {
        intervals[key.transport].map { clients[$0(key.program.rawValue)] } ?? []
    }
}
