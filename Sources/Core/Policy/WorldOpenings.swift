import Addresses

/// The rules by which ports are open to all addresses of a family without a look-up: each alone, or with the rules before
/// it.
struct WorldOpenings {
    /// By the rule's index.
    private var texts: [Int: String] = [:]
    private let rules: [Rule]

    init(_ rules: [Rule]) {
        self.rules = rules
        let standing = rules.indices.filter { rules[$0].open == .always }
        for index in standing {
            guard let world = Self.worlds.first(where: { covers($0, [index]) }) else { continue }
            texts[index] = Self.text(world, "")
        }
        let parts = standing.filter { texts[$0] == nil }
        // Hardly any policy: then the rules need not be told apart by what they open.
        for world in Self.worlds where covers(world, parts) {
            for group in groups(parts) where covers(world, group) { noteLast(of: group, world) }
        }
    }

    func text(ofRule index: Int) -> String? { texts[index] }

    private static let worlds = [Prefix(.v4(0), length: 0), Prefix(.v6(IPv6Bits(0)), length: 0)].compactMap { $0 }

    private static func text(_ world: Prefix, _ others: String) -> String {
        "\"open: always\" for the whole world (\(world))\(others): these ports are open to everyone"
    }

    /// What a rule excepts is little beside the world.
    private func covers(_ world: Prefix, _ group: some Sequence<Int>) -> Bool {
        let ranges = group.flatMap { rules[$0].from.compactMap(\.prefix?.range) }
        return world.range.isCovered(by: [ranges.union])
    }

    /// The rule with which those before it open the ports to everyone, by a binary search.
    private mutating func noteLast(of group: [Int], _ world: Prefix) {
        var (low, high) = (0, group.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if covers(world, group[...middle]) { high = middle } else { low = middle + 1 }
        }
        texts[group[low]] = Self.text(world, ", together with rules before it")
    }

    /// The rules that open the same service of the same server: each such set once.
    private func groups(_ indices: [Int]) -> Set<[Int]> {
        var groups: Set<[Int]> = []
        for place in places(indices) {
            let here = indices.filter { rules[$0].at.covers(allOf: place) }
            for program in programs(here) {
                for transport in Transport.allCases {
                    groups.insert(here.filter { rules[$0].names(program) && rules[$0].over.contains(transport) })
                }
            }
        }
        return groups
    }

    private func places(_ indices: [Int]) -> Set<ServerScope> {
        Set(
            indices.flatMap { index -> [ServerScope] in
                switch rules[index].at {
                case .thisHost: [.thisHost]
                case .anyServer: [.anyServer]
                case .servers(let names): names.map { .servers([$0]) }
                }
            })
    }

    /// Ranges that overlap have the beginning of one of them in common.
    private func programs(_ indices: [Int]) -> Set<Program> {
        Set(indices.flatMap { Array(rules[$0].to) + rules[$0].programRanges.all.map(\.lowerBound) })
    }
}
