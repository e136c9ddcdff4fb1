import Addresses
import Policy
import Testing

private func programs(_ first: UInt32, _ last: UInt32) -> ClosedRange<Program> { Program(first)...Program(last) }

extension Rule {
    fileprivate static func ranges(
        _ ranges: [ClosedRange<Program>], from: [String] = ["10.0.0.0/8"], to: Set<Program> = [],
        over: Set<Transport> = [.tcp, .udp], lists: Bool = false, open: Opening = .onLookup
    ) -> Rule {
        var rule = rule(from: from, to: to, over: over, lists: lists, open: open)
        rule.programRanges = ProgramRanges(ranges)
        return rule
    }
}

@Suite("ranges of program numbers") struct ProgramRangeTests {
    private let client = address("10.0.0.1")
    private let transient = Program.transient

    @Test("beyond a range's ends nothing is permitted, within it everything, over its transports")
    func ends() {
        let policy = Policy(rules: [.ranges([transient], over: [.tcp])])
        for number: UInt32 in [0, 1, 100_000, 100_003, 0x3fff_ffff, 0x6000_0000, .max] {
            #expect(policy.lookup(Program(number), over: .tcp, by: client) == .noRule)
        }
        for number: UInt32 in [0x4000_0000, 0x4000_0001, 0x5fff_fffe, 0x5fff_ffff] {
            #expect(policy.lookup(Program(number), over: .udp, by: client) == .transport)
            #expect(policy.lookup(Program(number), over: .tcp, by: address("11.0.0.1")) == .stranger)
            #expect(policy.lookup(Program(number), over: .tcp, by: client) == .permitted(rule: 0, open: .onLookup))
        }
        #expect(policy.clients(over: .tcp) == [range("10.0.0.0", "10.255.255.255")])
        #expect(policy.clients(over: .udp) == [])
    }

    @Test("ranges that overlap or touch are one; those with a gap stay apart")
    func union() {
        let ranges = ProgramRanges([programs(10, 20), programs(15, 30), programs(31, 40), programs(42, .max)])
        #expect(ranges.all == [programs(10, 40), programs(42, .max)])
        #expect(ranges.contains(Program(.max)) && !ranges.contains(Program(41)) && !ranges.contains(Program(9)))
        #expect(ProgramRanges([programs(42, .max), programs(0, 3), programs(.max, .max)]).all.count == 2)
    }

    @Test(
        "of a range and a number, and of ranges among themselves, the rule that opens most counts, then the first",
        arguments: [
            ([.onLookup, .always], 1, .always), ([.always, .onLookup], 0, .always), ([.never, .never], 0, .never),
            ([.never, .onLookup], 1, .onLookup), ([.onLookup, .onLookup], 0, .onLookup),
        ] as [([Opening], Int, Opening)])
    func strongest(openings: [Opening], winner: Int, open: Opening) {
        let exact = Set([Program(500)])
        for (first, second) in [(true, false), (false, true), (false, false)] {
            let policy = Policy(rules: [
                .ranges(first ? [] : [programs(400, 600)], to: first ? exact : [], open: openings[0]),
                .ranges(second ? [] : [programs(500, 700)], to: second ? exact : [], open: openings[1]),
            ])
            #expect(policy.lookup(Program(500), over: .tcp, by: client) == .permitted(rule: winner, open: open))
            #expect(policy.standing(Program(500), over: .tcp).isEmpty == (open != .always))
        }
    }

    @Test("what ranges list is what they cover")
    func lists() {
        let policy = Policy(rules: [
            .ranges([programs(400, 500)], over: [.tcp], lists: true), .ranges([programs(450, 600)], to: [.nfs]),
        ])
        #expect(policy.listing(by: client) == .permitted(rule: 0))
        for number: UInt32 in [400, 450, 500] { #expect(policy.lists(Program(number), over: .tcp, for: client)) }
        for number: UInt32 in [399, 501, 600, 100_003] {
            #expect(!policy.lists(Program(number), over: .tcp, for: client))
        }
        #expect(!policy.lists(Program(450), over: .udp, for: client))
    }

    @Test("standing clients of a program are those of every rule that names it, by number or by range")
    func standing() {
        let policy = Policy(rules: [
            .ranges([programs(400, 500)], from: ["10.0.0.0/25"], over: [.tcp], open: .always),
            .ranges([programs(450, 600)], from: ["10.0.0.128/25", "2001:db8::1"], open: .always),
            .ranges([], from: ["10.0.1.0/24"], to: [Program(470)], open: .always),
            .ranges([programs(1, 900)], from: ["10.0.0.0/8"], open: .onLookup),
        ])
        let (low, high) = (range("10.0.0.0", "10.0.0.127"), range("10.0.0.128", "10.0.0.255"))
        let six = range("2001:db8::1", "2001:db8::1")
        #expect(policy.standing(Program(399), over: .tcp) == [])
        #expect(policy.standing(Program(400), over: .tcp) == [low])
        #expect(policy.standing(Program(400), over: .udp) == [])
        #expect(policy.standing(Program(450), over: .tcp) == [range("10.0.0.0", "10.0.0.255"), six])
        #expect(policy.standing(Program(470), over: .tcp) == [range("10.0.0.0", "10.0.1.255"), six])
        #expect(policy.standing(Program(470), over: .udp) == [range("10.0.0.128", "10.0.1.255"), six])
        #expect(policy.standing(Program(600), over: .udp) == [high, six])
        #expect(policy.standing(Program(601), over: .udp) == [])
    }

    @Test("warnings know what a range holds")
    func warnings() {
        let told = { (rules: [Rule]) in PolicyWarning.warnings(of: rules).map(\.message) }
        #expect(told([.ranges([programs(100_001, 100_010)])]).contains { $0.hasPrefix("nfs without \"open: always\"") })
        #expect(told([.ranges([programs(100_001, 100_100)], open: .always)]) == [])
        #expect(
            told([.ranges([transient], from: ["0.0.0.0/0"], open: .always)]).contains { $0.contains("whole world") })
    }

    @Test("an expired rule lists no program of its ranges")
    func expired() {
        var rule = Rule.ranges([transient], lists: true)
        #expect(Policy(rules: [rule]).lists(transient.lowerBound, over: .tcp, for: client))
        rule.isExpired = true
        #expect(!Policy(rules: [rule]).lists(transient.lowerBound, over: .tcp, for: client))
    }
}
