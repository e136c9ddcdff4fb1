import Addresses
import Bundles
import Policy
import Testing

@Suite("The ceiling of a bundle") struct PolicyCeilingTests {
    private static func prefix(_ text: String) throws -> ClientTerm {
        let parts = text.split(separator: "/")
        let address = try #require(IPAddress(String(parts[0])))
        let length = try #require(Int(parts[1]))
        return .prefix(try #require(Prefix(address, length: length)))
    }

    private static func rule(
        _ name: String = "r", from: [String] = ["10.20.0.0/16"], except: [String] = [], hosts: [String] = [],
        at: ServerScope = .thisHost, to: Set<Program> = [.nfs], ranges: ProgramRanges = .none,
        over: Set<Transport> = [.tcp, .udp], lists: Bool = false, open: Opening = .onLookup, line: Int = 1
    ) throws -> Rule {
        Rule(
            name: name, location: Location(file: "ceiling.yaml", line: line, column: 1),
            from: try from.map(prefix) + hosts.map(ClientTerm.host), except: try except.map(prefix), at: at, to: to,
            programRanges: ranges, over: over, lists: lists, open: open)
    }

    private static func excess(of rule: Rule, beyond ceiling: [Rule]) -> PolicyCeiling.Excess? {
        var ceiling = PolicyCeiling(ceiling)
        return ceiling.excess(of: rule)
    }

    @Test("permits what several rules permit together")
    func together() throws {
        let ceiling = [
            try Self.rule(from: ["10.20.0.0/17"], over: [.tcp], open: .always),
            try Self.rule(from: ["10.20.128.0/17"], over: [.tcp]), try Self.rule(over: [.udp], lists: true),
        ]
        #expect(Self.excess(of: try Self.rule(), beyond: ceiling) == nil)
        #expect(Self.excess(of: try Self.rule(over: [.udp], lists: true), beyond: ceiling) == nil)
        #expect(
            Self.excess(of: try Self.rule(over: [.tcp], lists: true), beyond: ceiling)?.lacks == "has no list: true")
        let always = Self.excess(of: try Self.rule(over: [.tcp], open: .always), beyond: ceiling)
        #expect(always?.client == (try Self.prefix("10.20.0.0/16")))
    }

    @Test("says what exceeds it, and which of its rules is the nearest")
    func nearest() throws {
        let ceiling = [
            try Self.rule("far", from: ["192.0.2.0/24"], to: [.mountd], line: 3), try Self.rule("near", line: 7),
        ]
        let cases: [(Rule, String)] = [
            (try Self.rule(from: ["10.0.0.0/8"]), "doesn't name all of these clients"),
            (try Self.rule(from: ["10.30.0.0/16"]), "doesn't name these clients"),
            (try Self.rule(to: [.nlockmgr]), "doesn't name this program"),
            (try Self.rule(open: .always), "has only open: on-lookup"),
            (try Self.rule(lists: true), "has no list: true"),
            (try Self.rule(at: .servers(["nas"])), "isn't about this server"),
            (try Self.rule(at: .anyServer), "isn't about this server"),
            (try Self.rule(from: [], hosts: ["a.example"]), "doesn't name these clients"),
        ]
        for (rule, lacks) in cases {
            let excess = Self.excess(of: rule, beyond: ceiling)
            #expect(excess?.nearest?.name == "near" && excess?.lacks == lacks, "\(rule) \(String(describing: excess))")
        }
        #expect(
            Self.excess(of: try Self.rule(over: [.udp]), beyond: [try Self.rule(over: [.tcp])])?.lacks
                == "isn't over udp")
        #expect(Self.excess(of: try Self.rule(), beyond: [])?.nearest == nil)
    }

    @Test("counts exceptions of both sides")
    func exceptions() throws {
        let ceiling = [try Self.rule(except: ["10.20.9.0/24"])]
        #expect(Self.excess(of: try Self.rule(), beyond: ceiling) != nil)
        #expect(Self.excess(of: try Self.rule(except: ["10.20.9.0/24"]), beyond: ceiling) == nil)
        #expect(Self.excess(of: try Self.rule(except: ["10.20.8.0/23"]), beyond: ceiling) == nil)
        #expect(Self.excess(of: try Self.rule(except: ["10.20.9.0/25"]), beyond: ceiling) != nil)
        #expect(Self.excess(of: try Self.rule(from: ["10.20.9.7/32"]), beyond: ceiling) != nil)
    }

    @Test("permits a host name only where it names it, without exceptions, or names everybody")
    func hosts() throws {
        let rule = try Self.rule(from: [], hosts: ["a.example"])
        #expect(Self.excess(of: rule, beyond: [try Self.rule(hosts: ["a.example"])]) == nil)
        #expect(Self.excess(of: rule, beyond: [try Self.rule(except: ["10.20.9.0/24"], hosts: ["a.example"])]) != nil)
        #expect(Self.excess(of: rule, beyond: [try Self.rule(hosts: ["b.example"])]) != nil)
        #expect(Self.excess(of: rule, beyond: [try Self.rule(from: ["0.0.0.0/0"])]) != nil)
        #expect(Self.excess(of: rule, beyond: [try Self.rule(from: ["0.0.0.0/0", "::/0"])]) == nil)
        var unsure = try Self.rule()
        unsure.except = [.host("a.example")]
        #expect(Self.excess(of: try Self.rule(), beyond: [unsure]) != nil, "nobody knows whom it covers")
    }

    @Test("holds for each program of a range, and each server")
    func ranges() throws {
        let transient = ProgramRanges([Program(0x4000_0000)...Program(0x5fff_ffff)])
        let rule = try Self.rule(to: [], ranges: transient)
        #expect(Self.excess(of: rule, beyond: [rule]) == nil)
        let halves = try [0x4000_0000...0x4fff_ffff as ClosedRange<UInt32>, 0x5000_0000...0x5fff_ffff].map { half in
            try Self.rule(to: [], ranges: ProgramRanges([Program(half.lowerBound)...Program(half.upperBound)]))
        }
        #expect(Self.excess(of: rule, beyond: halves) == nil)
        let hole = try [0x4000_0000...0x4fff_fffe as ClosedRange<UInt32>, 0x5000_0000...0x5fff_ffff].map { half in
            try Self.rule(to: [], ranges: ProgramRanges([Program(half.lowerBound)...Program(half.upperBound)]))
        }
        #expect(Self.excess(of: rule, beyond: hole)?.program == Program(0x4fff_ffff))
        let filled = hole + [try Self.rule(to: [Program(0x4fff_ffff)])]
        #expect(Self.excess(of: rule, beyond: filled) == nil)
        let both = try Self.rule(at: .servers(["a", "b"]))
        #expect(Self.excess(of: both, beyond: [try Self.rule(at: .servers(["a"]))])?.server == "b")
        #expect(
            Self.excess(of: both, beyond: [try Self.rule(at: .servers(["a"])), try Self.rule(at: .servers(["b"]))])
                == nil)
        #expect(Self.excess(of: both, beyond: [try Self.rule(at: .anyServer)]) == nil)
        #expect(Self.excess(of: both, beyond: [try Self.rule()]) != nil, "a rule about this host is about no server")
    }

    @Test("is, where there is none, the length of prefixes")
    func none() throws {
        for (text, isShort) in [
            ("10.0.0.0/8", false), ("10.0.0.0/7", true), ("2001:db8::/32", false), ("2001:d00::/24", true),
        ] {
            #expect((PolicyCeiling.tooShortPrefix(in: try Self.rule(from: [text])) != nil) == isShort, "\(text)")
        }
    }

    @Test("is exceeded by the one program of a range that lies behind the ceiling's, or in front of it")
    func byOneProgram() throws {
        func ranges(_ first: UInt32, _ last: UInt32) -> ProgramRanges {
            ProgramRanges([Program(first)...Program(last)])
        }
        let ceiling = [try Self.rule(to: [], ranges: ranges(100, 200))]
        for (first, last, program) in [(100, 200, nil), (100, 201, 201), (99, 200, 99)] as [(UInt32, UInt32, UInt32?)] {
            let excess = Self.excess(of: try Self.rule(to: [], ranges: ranges(first, last)), beyond: ceiling)
            #expect(excess?.program.rawValue == program)
        }
    }
}
