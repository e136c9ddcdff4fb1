import Addresses

/// The rules by which ports are open to all addresses of a family without a look-up: each alone, or with the rules before
/// it.
///
/// `except` is not looked at: a rule for the whole world is told of, whatever it excepts.
struct WorldOpenings {
    /// By the rule's index.
    private var texts: [Int: String] = [:]
    private let rules: [Rule]

    /// How many rules and prefixes are looked at to find those that open ports to the world together. A policy that needs
    /// more gets no such warning: it would hold up a start or a reload.
    static let stepsMax = 1_000_000

    init(_ rules: [Rule], stepsMax: Int = Self.stepsMax) {
        self.rules = rules
        var (parts, all, isWorld) = ([Int](), CoveredPrefixes(), false)
        for index in rules.indices where rules[index].open == .always {
            var alone = CoveredPrefixes()
            if let world = alone.add(rules[index].prefixes) {
                texts[index] = Self.text(world, "")
                continue
            }
            parts.append(index)
            if all.add(rules[index].prefixes) != nil { isWorld = true }
        }
        // Most policies end here. The rest tells the rules apart by the service that they open.
        guard isWorld, let together = together(parts, stepsMax) else { return }
        for (index, world) in together { texts[index] = Self.text(world, ", together with rules before it") }
    }

    func text(ofRule index: Int) -> String? { texts[index] }

    private static func text(_ world: Prefix, _ others: String) -> String {
        "\"open: always\" for the whole world (\(world))\(others): these ports are open to everyone"
    }

    /// For each service of each server, the rule with which those before it open the service to everyone.
    ///
    /// - Returns: `nil`: it would take too many steps.
    private func together(_ parts: [Int], _ stepsMax: Int) -> [Int: Prefix]? {
        var (found, steps) = ([Int: Prefix](), 0)
        let byPlace = byPlace(parts)
        for (place, own) in byPlace {
            let others = if case .servers = place { byPlace[.anyServer] ?? [] } else { [Int]() }
            steps += own.count + others.count
            guard steps <= stepsMax else { return nil }
            let services = Services((own + others).sorted(), rules)
            for program in services.programs {
                let group = services.rules(for: program)
                steps += services.ranged.count + group.reduce(0) { $0 + rules[$1].from.count }
                guard steps <= stepsMax else { return nil }
                for transport in Transport.allCases {
                    var covered = CoveredPrefixes()
                    for index in group where rules[index].over.contains(transport) {
                        if let world = covered.add(rules[index].prefixes) { found[index] = world }
                    }
                }
            }
        }
        return found
    }

    /// The rules that name this host, each server, and any server.
    private func byPlace(_ indices: [Int]) -> [ServerScope: [Int]] {
        var byPlace: [ServerScope: [Int]] = [:]
        for index in indices {
            switch rules[index].at {
            case .thisHost, .anyServer: byPlace[rules[index].at, default: []].append(index)
            case .servers(let names): for name in names { byPlace[.servers([name]), default: []].append(index) }
            }
        }
        return byPlace
    }
}

/// The rules for one server, by program.
private struct Services {
    private let rules: [Rule]
    private var named: [Program: [Int]] = [:]
    private(set) var ranged: [Int] = []

    init(_ indices: [Int], _ rules: [Rule]) {
        self.rules = rules
        for index in indices {
            for program in rules[index].to { named[program, default: []].append(index) }
            if !rules[index].programRanges.isEmpty { ranged.append(index) }
        }
    }

    /// Where ranges overlap, one of them begins: other numbers in ranges have no more rules than these.
    var programs: Set<Program> {
        Set(named.keys).union(ranged.lazy.flatMap { rules[$0].programRanges.all.map(\.lowerBound) })
    }

    /// In ascending order; a rule may be there twice.
    func rules(for program: Program) -> [Int] {
        ((named[program] ?? []) + ranged.filter { rules[$0].programRanges.contains(program) }).sorted()
    }
}

/// The prefixes whose addresses were all added: those themselves, and those of which both halves were.
private struct CoveredPrefixes {
    private var whole: Set<Prefix> = []
    private var half: Set<Prefix> = []

    /// - Returns: the prefix of a whole family that is covered now, and wasn't before.
    mutating func add(_ prefixes: some Sequence<Prefix>) -> Prefix? {
        var worlds: [Prefix] = []
        for prefix in prefixes {
            if let world = add(prefix) { worlds.append(world) }
        }
        return worlds.min()
    }

    private mutating func add(_ prefix: Prefix) -> Prefix? {
        var prefix = prefix
        while whole.insert(prefix).inserted {
            guard let outer = Prefix(prefix.address, length: prefix.length - 1) else { return prefix }
            let isSecondHalf = !half.insert(outer).inserted
            guard isSecondHalf else { return nil }
            prefix = outer
        }
        return nil
    }
}

extension Rule {
    fileprivate var prefixes: some Sequence<Prefix> { from.lazy.compactMap(\.prefix) }
}
