import Addresses
import Testing

@testable import Policy

@Suite("rules by which ports are open to the world") struct WorldOpeningsTests {
    private func halves(_ prefix: String, _ numbers: Range<UInt32>, at: (UInt32) -> ServerScope) -> [Rule] {
        numbers.map { number in
            var rule = rule(from: [prefix], to: [Program(number)], open: .always)
            rule.at = at(number)
            return rule
        }
    }

    private func told(_ rules: [Rule], stepsMax: Int = WorldOpenings.stepsMax) -> [Int] {
        let openings = WorldOpenings(rules, stepsMax: stepsMax)
        return rules.indices.filter { openings.text(ofRule: $0) != nil }
    }

    /// 3,000 programs, each with both halves.
    private var manyPrograms: [Rule] {
        halves("0.0.0.0/1", 0..<3000) { _ in .thisHost } + halves("128.0.0.0/1", 0..<3000) { _ in .thisHost }
    }

    /// Half of the world at any server, the other half at each of 300.
    private var manyServers: [Rule] {
        let rules = halves("0.0.0.0/1", 0..<300) { _ in .anyServer } + halves("::/1", 0..<1) { _ in .anyServer }
        return (rules + halves("128.0.0.0/1", 0..<300) { .servers(["s\($0)"]) }).map { rule in
            var rule = rule
            rule.to = [.mountd]
            return rule
        }
    }

    @Test("are found among thousands for many programs or servers, within the bound")
    func many() {
        #expect(told(manyPrograms) == Array(3000..<6000))
        #expect(told(manyServers) == Array(301..<601))
    }

    @Test("together aren't looked for beyond the bound: not some of them either; each alone still is")
    func bound() {
        let alone = rule(from: ["::/0"], open: .always)
        for rules in [manyPrograms, manyServers] {
            #expect(told(rules + [alone], stepsMax: 5000) == [rules.count])
            // Steps grow with what the rules of one service share, not with the square of the rules' number.
            #expect(told(rules, stepsMax: 1000 * rules.count) != [])
        }
        #expect(told(manyPrograms, stepsMax: 4 * 6000) != [])
    }

    @Test("are of one family each, and the second family has a rule of its own")
    func families() {
        let parts = ["0.0.0.0/1", "::/1", "128.0.0.0/2", "8000::/1", "192.0.0.0/2", "192.0.0.0/3"]
        let rules = parts.map { rule(from: [$0], open: .always) }
        #expect(told(rules) == [3, 4])
        #expect(WorldOpenings(rules).text(ofRule: 3)?.contains("(::/0), together") == true)
        #expect(WorldOpenings(rules).text(ofRule: 4)?.contains("(0.0.0.0/0), together") == true)
        #expect(told(Array(rules[..<3])) == [])
    }

    @Test("cover the world by prefixes of any lengths in any order, and a gap of one address shows")
    func prefixes() {
        // 0.0.0.1/32, 0.0.0.2/31, 0.0.0.4/30, … 128.0.0.0/1: all but 0.0.0.0.
        let others = (1...32).map { "\(IPAddress.v4(1 << (32 - UInt32($0))))/\($0)" }
        for order in [others, others.reversed(), others + ["128.0.0.0/9"]] {
            #expect(told([rule(from: order, open: .always)]) == [])
            #expect(told([rule(from: order + ["0.0.0.0"], open: .always)]) == [0])
            #expect(told([rule(from: ["0.0.0.0"] + order, open: .always)]) == [0])
        }
    }

    @Test("are told of whatever they except")
    func exceptions() {
        #expect(told([rule(from: ["0.0.0.0/0"], except: ["0.0.0.0/1"], open: .always)]) == [0])
    }
}
