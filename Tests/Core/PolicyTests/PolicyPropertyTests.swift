import Addresses
import Policy
import TestSupport
import Testing

/// A reference implementation of the policy, which evaluates its rules one by one.
private struct Reference {
    var rules: [Rule]
    var addresses: [String: HostAddresses]

    private func covers(_ term: ClientTerm, _ client: IPAddress) -> Bool {
        switch term {
        case .prefix(let prefix): prefix.range.contains(client)
        case .host(let name): addresses[name]?.known.contains(client) ?? false
        }
    }

    /// A rule with an exception for a host of unknown address permits no client.
    private func isKnown(_ term: ClientTerm) -> Bool {
        if case .host(let name) = term { addresses[name] != nil } else { true }
    }

    func naming(_ client: IPAddress) -> [Int] {
        rules.indices.filter { index in
            rules[index].from.contains { covers($0, client) } && !rules[index].except.contains { covers($0, client) }
                && rules[index].except.allSatisfy(isKnown)
        }
    }

    func lookup(_ program: Program, over transport: Transport, by client: IPAddress) -> LookupDecision {
        let named = naming(client)
        if named.isEmpty { return .stranger }
        let about = named.filter { rules[$0].names(program) }
        let permitting = about.filter { rules[$0].over.contains(transport) }
        for open: Opening in [.always, .onLookup, .never] {
            if let first = permitting.first(where: { rules[$0].open == open }) {
                return .permitted(rule: first, open: open)
            }
        }
        return about.contains { !rules[$0].over.isEmpty } ? .transport : .noRule
    }

    func listing(by client: IPAddress) -> ListDecision {
        let named = naming(client)
        if named.isEmpty { return .stranger }
        return named.first { rules[$0].lists }.map { .permitted(rule: $0) } ?? .noList
    }

    func lists(_ program: Program, over transport: Transport, for client: IPAddress) -> Bool {
        naming(client).contains {
            rules[$0].lists && rules[$0].names(program) && rules[$0].over.contains(transport)
        }
    }

    /// Every boundary address of the rules, and its neighbours.
    var probes: Set<IPAddress> {
        var probes: Set<IPAddress> = [.v4(0), .v4(UInt32.max), .v6(0), .v6(.max), .v6(0xffff_0000_0000)]
        for term in rules.flatMap({ $0.from + $0.except }) {
            let ranges =
                switch term {
                case .prefix(let prefix): [prefix.range]
                case .host(let name): (addresses[name]?.known ?? []).map { AddressRange($0, $0) }
                }
            for edge in ranges.flatMap({ [$0.first, $0.last] }) {
                probes.formUnion([edge, edge.next(1), edge.next(-1)])
            }
        }
        return probes
    }
}

extension IPAddress {
    fileprivate func next(_ step: Int) -> IPAddress {
        switch self {
        case .v4(let bits): .v4(bits &+ UInt32(truncatingIfNeeded: step))
        case .v6(let bits): .v6(IPv6Bits(bits.value &+ UInt128(truncatingIfNeeded: step)))
        }
    }
}

extension SeededGenerator {
    private static let programs: [Program] = [.nfs, .mountd, .status]
    private static let hosts = ["a.example", "b.example", "unresolved.example"]

    /// Addresses are close together and at the ends of their family, so that they coincide often.
    fileprivate mutating func address() -> IPAddress {
        let low = UInt32.random(in: 0..<16, using: &self)
        switch Int.random(in: 0..<6, using: &self) {
        case 0: return .v4(low)
        case 1: return .v4(UInt32.max - low)
        case 2: return .v6(IPv6Bits(0x2001_0db8 << 96 | UInt128(low)))
        case 3: return .v6(IPv6Bits(UInt128.max - UInt128(low)))
        default: return .v4(0x0a00_0000 + low)
        }
    }

    private mutating func term() -> ClientTerm {
        if Int.random(in: 0..<6, using: &self) == 0 { return .host(Self.hosts.randomElement(using: &self) ?? "") }
        let address = address()
        let full = address.isIPv4 ? 32 : 128
        let isWide = Int.random(in: 0..<10, using: &self) == 0
        let length = isWide ? Int.random(in: 0...full, using: &self) : full - Int.random(in: 0...4, using: &self)
        return .prefix(Prefix(address, length: length) ?? Prefix(address))
    }

    private mutating func rule() -> Rule {
        Rule(
            name: "random", location: Location(file: "random.yaml", line: 1, column: 1),
            from: (0..<Int.random(in: 0...4, using: &self)).map { _ in term() },
            except: (0..<Int.random(in: 0...2, using: &self)).map { _ in term() },
            to: Set(Self.programs.filter { _ in Bool.random(using: &self) }), programRanges: ranges(),
            over: Set(Transport.allCases.filter { _ in Int.random(in: 0..<3, using: &self) > 0 }),
            lists: Bool.random(using: &self), open: Opening.allCases.randomElement(using: &self) ?? .never)
    }

    /// Ranges around the programs in the lookups; empty in most cases.
    private mutating func ranges() -> ProgramRanges {
        let count = max(0, Int.random(in: -2...2, using: &self))
        return ProgramRanges(
            (0..<count).map { _ in
                let first = UInt32.random(in: 100_001...100_025, using: &self)
                return Program(first)...Program(UInt32.random(in: first...100_030, using: &self))
            })
    }

    fileprivate mutating func policy() -> Reference {
        Reference(
            rules: (0..<Int.random(in: 1...6, using: &self)).map { _ in rule() },
            addresses: ["a.example": [address(), address()], "b.example": [address()]])
    }
}

@Suite("policy against its rules read one by one") struct PolicyPropertyTests {
    @Test("look-ups and lists agree at and around every boundary", arguments: 0..<400 as Range<UInt64>)
    func agrees(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        let reference = random.policy()
        let policy = Policy(rules: reference.rules, addresses: reference.addresses)
        for client in reference.probes {
            #expect(policy.rules(naming: client) == reference.naming(client))
            #expect(policy.lists(client) == !reference.naming(client).isEmpty)
            #expect(policy.listing(by: client) == reference.listing(by: client))
            for program: Program in [.nfs, .mountd, Program(100_010), .status, .portmapper] {
                for transport in Transport.allCases {
                    #expect(
                        policy.lookup(program, over: transport, by: client)
                            == reference.lookup(program, over: transport, by: client))
                    #expect(
                        policy.lists(program, over: transport, for: client)
                            == reference.lists(program, over: transport, for: client))
                }
            }
        }
    }

    @Test(
        "standing ranges hold whom always is for, ascend, and leave a gap between", arguments: 0..<400 as Range<UInt64>)
    func standing(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        let reference = random.policy()
        let policy = Policy(rules: reference.rules, addresses: reference.addresses)
        for program: Program in [.nfs, .mountd, Program(100_010), .status, .portmapper] {
            for transport in Transport.allCases {
                let ranges = policy.standing(program, over: transport)
                for (lower, upper) in zip(ranges, ranges.dropFirst()) {
                    #expect(lower.last < upper.first)
                    #expect(lower.last.isIPv4 != upper.first.isIPv4 || lower.last.next(1) != upper.first)
                }
                for client in reference.probes {
                    let decision = reference.lookup(program, over: transport, by: client)
                    let isAlways = if case .permitted(_, .always) = decision { true } else { false }
                    #expect(ranges.contains { $0.contains(client) } == isAlways)
                }
            }
        }
    }
}
