import Addresses
import Configuration
import Firewall
import Policy
import Testing

@testable import Privilege

extension Ceiling {
    fileprivate func refusal(of transaction: Transaction) -> CommitFailure? {
        do throws(CommitFailure) {
            _ = try judge(transaction)
            return nil
        } catch {
            return error
        }
    }

    /// The kernel executes the operations if the ceiling permits them.
    fileprivate mutating func commit(_ operations: Operation...) -> Bool {
        let transaction = Transaction(table: "rpcwarden", operations: operations)
        do throws(CommitFailure) {
            done(transaction, try judge(transaction))
            return true
        } catch {
            return false
        }
    }
}

@Suite("the ceiling of what may be asked of the netfilter process") struct CeilingTests {
    private static let nfs = ServicePort(.tcp, 2049)

    private static func ceiling(
        _ rules: [Rule], _ change: (inout Settings) -> Void = { _ in }
    ) -> Ceiling {
        var settings = Settings()
        change(&settings)
        return Ceiling(settings: settings, rules: rules)
    }

    private static func standard() throws -> Ceiling {
        ceiling([
            .sample(from: [try term("10.0.0.0/8"), try term("fd00::/8")], except: [try term("10.9.0.0/16")]),
            .sample(from: [try term("192.0.2.0/24")], over: [.udp], open: .always),
            .sample(from: [try term("198.51.100.0/24")], open: .never),
        ])
    }

    private static func transaction(_ operations: Operation...) -> Transaction {
        Transaction(table: "rpcwarden", operations: operations)
    }

    private static func issue(_ client: String, _ service: ServicePort = nfs) throws -> Operation {
        .issue(
            GrantKey(client: try address(client), service: service), timeout: .seconds(86_400), expiresIn: nil,
            comment: "")
    }

    private static func addStanding(_ first: String, _ last: String, _ service: ServicePort = nfs) throws -> Operation {
        .addStanding(StandingKey(clients: AddressRange(try address(first), try address(last)), service: service))
    }

    @Test("a rule about servers behind this gateway opens nothing here")
    func serverRules() throws {
        for scope in [ServerScope.servers(["nas"]), .anyServer] {
            var rule = Rule.sample(from: [try term("192.0.2.0/24")])
            rule.at = scope
            #expect(Self.ceiling([rule]).refusal(of: Self.transaction(try Self.issue("192.0.2.7"))) != nil)
            rule.at = .thisHost
            #expect(Self.ceiling([rule]).refusal(of: Self.transaction(try Self.issue("192.0.2.7"))) == nil)
        }
    }

    @Test("another table is out of reach, whatever is asked of it")
    func otherTable() throws {
        let refusal = try Self.standard().refusal(
            of: Transaction(table: "filter", operations: [.revoke(GrantKey(client: .v4(1), service: Self.nfs))]))
        #expect(refusal?.message == "refused by the netfilter process: the table is rpcwarden, not filter")
        #expect(refusal?.errno == 1 && refusal?.operation == nil)
        #expect(try Self.standard().refusal(of: Self.transaction(.deleteTable(name: "filter")))?.operation == 0)
    }

    @Test("a table is made as the configuration asks for it, and no weaker")
    func shape() throws {
        let ceiling = try Self.standard()
        var shape = Settings().tableShape
        #expect(ceiling.refusal(of: Self.transaction(.makeTable(shape), .deleteTable(name: "rpcwarden"))) == nil)
        #expect(ceiling.refusal(of: Self.transaction(.adoptTable(shape))) == nil)
        let changes: [(inout TableShape) -> Void] = [
            { $0.name = "other" }, { $0.observes = true }, { $0.management = .sets }, { $0.mark = 1 },
            { $0.keep = .seconds(86_401) }, { $0.grantsMax += 1 }, { $0.isOwned = false }, { $0.logGroup = 7 },
            { $0.flowMark = 1 }, { $0.ownFlowMark = 2 },
        ]
        for change in changes {
            shape = Settings().tableShape
            change(&shape)
            #expect(ceiling.refusal(of: Self.transaction(.makeTable(shape))) != nil, "\(shape)")
            #expect(ceiling.refusal(of: Self.transaction(.adoptTable(shape))) != nil, "\(shape)")
        }
    }

    @Test(
        "a server that isn't configured is out of reach: nothing there is closed, opened or cut, nor port 111 let through"
    )
    func otherServer() throws {
        let ceiling = Self.ceiling([.sample(from: [try term("10.0.0.0/8")])])
        let (here, there) = (Self.nfs, ServicePort(.tcp, 2049, at: ServerID(rawValue: 7)))
        for (service, isPermitted) in [(here, true), (there, false)] {
            let key = GrantKey(client: try address("10.1.1.1"), service: service)
            let portmapper = ServicePort(.tcp, 111, at: service.server)
            let operations: [Operation] = [
                .guardPort(service), .issueNew(key, timeout: .seconds(9), comment: ""),
                .addStanding(StandingKey(clients: AddressRange(key.client, key.client), service: service)),
                .addStanding(StandingKey(clients: AddressRange(key.client, key.client), service: portmapper)),
            ]
            for operation in operations {
                let refusal = ceiling.refusal(of: Self.transaction(operation))
                #expect((refusal == nil) == isPermitted, "\(operation)")
            }
            #expect((ceiling.refusal(toCut: service) == nil) == isPermitted)
        }
    }

    @Test("a rule that names programs by ranges alone opens to its clients, and to nobody else")
    func ranges() throws {
        var rule = Rule.sample(from: [try term("10.0.0.0/8")], over: [.tcp])
        rule.to = []
        rule.programRanges = ProgramRanges([Program.transient])
        let ceiling = Self.ceiling([rule])
        #expect(ceiling.refusal(of: Self.transaction(try Self.issue("10.1.1.1"))) == nil)
        #expect(ceiling.refusal(of: Self.transaction(try Self.addStanding("10.0.0.0", "10.255.255.255"))) == nil)
        #expect(ceiling.refusal(of: Self.transaction(try Self.issue("11.1.1.1"))) != nil)
        #expect(ceiling.refusal(of: Self.transaction(try Self.issue("10.1.1.1", ServicePort(.udp, 2049)))) != nil)
    }

    @Test("a port of `never` is neither closed nor opened, nor are its flows cut", arguments: [22, 443] as [UInt16])
    func never(port: UInt16) throws {
        let ceiling = Self.ceiling([.sample(from: [try term("10.0.0.0/8")])]) { $0.firewall.never = [22, 443] }
        for transport in Transport.allCases {
            let service = ServicePort(transport, port)
            let operations = [
                .guardPort(service), try Self.issue("10.1.1.1", service),
                try Self.addStanding("10.1.1.1", "10.1.1.1", service),
                .issueNew(
                    GrantKey(client: try address("10.1.1.1"), service: service), timeout: .seconds(1), comment: ""),
            ]
            for operation in operations {
                let refusal = ceiling.refusal(of: Self.transaction(.guardPort(Self.nfs), operation))
                #expect(refusal?.operation == 1 && refusal?.message.contains("\(service) is in firewall.never") == true)
            }
            #expect(ceiling.refusal(toCut: service) != nil)
        }
        #expect(ceiling.refusal(toCut: Self.nfs) == nil)
    }

    @Test(
        "a grant is for a client whom a rule opens something over that transport",
        arguments: [
            ("9.255.255.255", Transport.tcp, false), ("10.0.0.0", .tcp, true), ("10.8.255.255", .udp, true),
            ("10.9.0.0", .tcp, false), ("10.9.255.255", .udp, false), ("10.10.0.0", .tcp, true),
            ("10.255.255.255", .tcp, true), ("11.0.0.0", .tcp, false), ("192.0.2.7", .tcp, false),
            ("192.0.2.7", .udp, true), ("198.51.100.7", .tcp, false), ("198.51.100.7", .udp, false),
            ("fd12::1", .tcp, true), ("fe80::1", .tcp, false), ("::1", .udp, false), ("0.0.0.0", .udp, false),
        ])
    func grants(client: String, transport: Transport, isPermitted: Bool) throws {
        let service = ServicePort(transport, 4001)
        let ceiling = try Self.standard()
        let key = GrantKey(client: try address(client), service: service)
        #expect((ceiling.refusal(of: Self.transaction(try Self.issue(client, service))) == nil) == isPermitted)
        let new = Operation.issueNew(key, timeout: .seconds(1), comment: "")
        #expect((ceiling.refusal(of: Self.transaction(new)) == nil) == isPermitted)
        #expect(
            (ceiling.refusal(of: Self.transaction(try Self.addStanding(client, client, service))) == nil) == isPermitted
        )
    }

    @Test(
        "a standing range lies within the prefixes of policy, whole",
        arguments: [
            ("10.0.0.0", "10.8.255.255", true), ("10.0.0.0", "10.9.0.0", false), ("10.8.0.0", "10.10.0.0", false),
            ("9.255.255.255", "10.0.0.1", false), ("0.0.0.0", "255.255.255.255", false),
            ("fd00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true), ("fd00::", "fe00::", false),
            ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
        ])
    func ranges(first: String, last: String, isPermitted: Bool) throws {
        let refusal = try Self.standard().refusal(of: Self.transaction(Self.addStanding(first, last)))
        #expect((refusal == nil) == isPermitted)
    }

    @Test("all of both families is permitted where a rule names the whole world")
    func world() throws {
        let ceiling = Self.ceiling([.sample(from: [try term("0.0.0.0/0"), try term("::/0")], open: .always)])
        #expect(ceiling.refusal(of: Self.transaction(try Self.addStanding("0.0.0.0", "255.255.255.255"))) == nil)
        let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        #expect(ceiling.refusal(of: Self.transaction(try Self.addStanding("::", last))) == nil)
    }

    @Test("a grant lives no longer than `keep`")
    func keep() throws {
        let key = GrantKey(client: try address("10.1.1.1"), service: Self.nfs)
        let day = Duration.seconds(86_400)
        let (ceiling, longer) = (try Self.standard(), day + .milliseconds(1))
        for (operation, isPermitted) in [
            (Operation.issue(key, timeout: day, expiresIn: .seconds(5), comment: ""), true),
            (.issue(key, timeout: longer, expiresIn: nil, comment: ""), false),
            (.issue(key, timeout: day, expiresIn: longer, comment: ""), false),
            (.issueNew(key, timeout: longer, comment: ""), false),
        ] {
            #expect((ceiling.refusal(of: Self.transaction(operation)) == nil) == isPermitted, "\(operation)")
        }
    }

    @Test("host names leave as many addresses open as names can have, and no prefix")
    func hostNames() throws {
        let ceiling = Self.ceiling([
            .sample(from: [.host("a"), try term("10.0.0.0/24")]), .sample(from: [.host("b")], except: [.host("c")]),
        ])
        #expect(ceiling.refusal(of: Self.transaction(try Self.issue("203.0.113.9"))) == nil)
        // Adjacent to a prefix, one element contains both.
        #expect(ceiling.refusal(of: Self.transaction(try Self.addStanding("10.0.0.0", "10.0.1.127"))) == nil)
        #expect(ceiling.refusal(of: Self.transaction(try Self.addStanding("10.0.0.0", "10.0.1.128"))) != nil)
        #expect(ceiling.refusal(of: Self.transaction(try Self.addStanding("0.0.0.0", "255.255.255.255"))) != nil)
        let closed = Self.ceiling([.sample(from: [.host("a")], open: .never)])
        #expect(closed.refusal(of: Self.transaction(try Self.issue("203.0.113.9"))) != nil)
    }

    /// One name, which counts for 64 addresses.
    private static func named() throws -> Ceiling {
        ceiling([.sample(from: [.host("a"), try term("10.0.0.0/24")])])
    }

    private static func key(_ number: Int, _ port: UInt16 = 2049) -> GrantKey {
        GrantKey(client: .v4(0xcb00_7100 + UInt32(number)), service: ServicePort(.tcp, port))
    }

    private static func issue(_ key: GrantKey) -> Operation {
        .issue(key, timeout: .seconds(60), expiresIn: nil, comment: "")
    }

    @Test("a host name's addresses are counted in all, whatever the elements, transactions and ports")
    func countedInAll() throws {
        var ceiling = try Self.named()
        for number in 0..<32 { #expect(ceiling.commit(Self.issue(Self.key(number))) == true) }
        let standing = StandingKey(
            clients: AddressRange(Self.key(32).client, Self.key(63).client), service: Self.nfs)
        #expect(ceiling.commit(.addStanding(standing)) == true)
        #expect(ceiling.outside.addressCount == 64)
        let refusal = ceiling.refusal(of: Self.transaction(Self.issue(Self.key(0, 1)), Self.issue(Self.key(64))))
        #expect(refusal?.kind == .full && refusal?.operation == 1)
        #expect(refusal?.message.contains("for 64 addresses in all") == true)
        #expect(ceiling.commit(.issueNew(Self.key(64), timeout: .seconds(1), comment: "")) == false)
        #expect(try ceiling.commit(Self.addStanding("203.0.113.64", "203.0.113.64")) == false)
        // A client that is counted may have more grants; clients in prefixes are never counted.
        #expect(
            try ceiling.commit(Self.issue(Self.key(0, 1)), Self.issue(Self.key(40)), Self.issue("10.0.0.7")) == true)
        #expect(try ceiling.commit(Self.addStanding("10.0.0.0", "10.0.0.255")) == true)
        #expect(ceiling.outside.addressCount == 64)
    }

    @Test("an address is counted until its last element is taken away, or is found to be gone")
    func freed() throws {
        var ceiling = try Self.named()
        for number in 0..<64 { #expect(ceiling.commit(Self.issue(Self.key(number))) == true) }
        #expect(ceiling.commit(Self.issue(Self.key(0, 1))) == true)
        #expect(ceiling.commit(.revoke(Self.key(0)), Self.issue(Self.key(64))) == false, "it has another one")
        #expect(ceiling.commit(.revoke(Self.key(0)), .revoke(Self.key(0, 1)), Self.issue(Self.key(64))) == true)
        #expect(ceiling.outside.addressCount == 64)
        #expect(ceiling.commit(.revoke(Self.key(99))) == true, "what isn't there frees nothing")
        #expect(ceiling.commit(Self.issue(Self.key(65))) == false)
        // Within a transaction, a removal may follow an addition: the kernel executes all operations at once.
        #expect(ceiling.commit(Self.issue(Self.key(65)), .revoke(Self.key(1))) == true)
        ceiling.outside.keep { $0 != Self.key(2) }
        #expect(ceiling.commit(Self.issue(Self.key(66))) == true)
        #expect(ceiling.commit(Self.issue(Self.key(67))) == false)
    }

    @Test("what stood for a host name's addresses makes room when it is taken away, one by one or with all the rest")
    func unstood() throws {
        var ceiling = try Self.named()
        let all = StandingKey(clients: AddressRange(Self.key(0).client, Self.key(63).client), service: Self.nfs)
        let (first, next) = ("203.0.113.64", "203.0.113.127")
        #expect(ceiling.commit(.addStanding(all)) == true)
        #expect(try ceiling.commit(Self.addStanding(first, next)) == false)
        #expect(try ceiling.commit(.removeStanding(all), Self.addStanding(first, next)) == true)
        #expect(ceiling.commit(.addStanding(all)) == false)
        #expect(ceiling.commit(.replaceStanding, .addStanding(all)) == true)
        #expect(ceiling.commit(.addStanding(all)) == true, "it is there already")
        #expect(ceiling.outside.addressCount == 64)
        #expect(try ceiling.commit(.makeTable(Settings().tableShape), Self.addStanding(first, next)) == true)
        #expect(ceiling.commit(.deleteTable(name: "rpcwarden"), .addStanding(all)) == true)
        #expect(ceiling.commit(.adoptTable(Settings().tableShape), Self.issue(Self.key(200))) == true)
        #expect(ceiling.commit(.adoptTable(Settings().tableShape)) == true)
        #expect(ceiling.outside.grants == [Self.key(200)], "which a table that is taken over keeps")
    }

    @Test("an exchange of all ranges, which is done in steps, makes, adopts and deletes no table")
    func exchanges() throws {
        var ceiling = try Self.named()
        let range = try Self.addStanding("203.0.113.1", "203.0.113.1")
        for operation in [
            Operation.makeTable(Settings().tableShape), .adoptTable(Settings().tableShape),
            .deleteTable(name: "rpcwarden"),
        ] {
            #expect(ceiling.commit(.replaceStanding, range, operation) == false)
            #expect(ceiling.commit(operation, .replaceStanding, range) == false)
        }
        #expect(ceiling.commit(.replaceStanding, range) == true)
    }

    @Test("a part of a failed exchange may have been done, and counts until the next one")
    func failedExchange() throws {
        var ceiling = try Self.named()
        let all = StandingKey(clients: AddressRange(Self.key(0).client, Self.key(63).client), service: Self.nfs)
        let exchange = Transaction(table: "rpcwarden", operations: [.replaceStanding, .addStanding(all)])
        ceiling.mayBeDone(try ceiling.judge(exchange))
        #expect(ceiling.commit(Self.issue(Self.key(65))) == false)
        #expect(ceiling.commit(.replaceStanding) == true)
        #expect(ceiling.commit(Self.issue(Self.key(65))) == true)
    }

    @Test("a refused transaction counts nothing")
    func refusedWhole() throws {
        var ceiling = try Self.named()
        #expect(ceiling.commit(Self.issue(Self.key(1)), .guardPort(ServicePort(.tcp, 22))) == false)
        #expect(ceiling.outside.addressCount == 0)
        _ = ceiling.refusal(of: Self.transaction(Self.issue(Self.key(1))))
        #expect(ceiling.outside.addressCount == 0, "judged, but not done")
    }

    @Test("what was inherited is counted, and passes whatever the count, until it was taken away")
    func inheritedCounts() throws {
        var ceiling = try Self.named()
        var contents = TableContents()
        contents.granted = (0..<100).map {
            GrantElement(
                key: Self.key($0), timeout: .zero, expiresIn: .zero, packets: 0, bytes: 0, comment: "")
        }
        ceiling.inherit(contents)
        #expect(ceiling.outside.addressCount == 100)
        #expect(ceiling.commit(Self.issue(Self.key(100))) == false)
        #expect(
            ceiling.commit(.makeTable(Settings().tableShape), Self.issue(Self.key(0)), Self.issue(Self.key(99))) == true
        )
        #expect(ceiling.outside.addressCount == 2)
        for number in 100..<162 { #expect(ceiling.commit(Self.issue(Self.key(number))) == true) }
        #expect(ceiling.commit(Self.issue(Self.key(162))) == false)
        #expect(ceiling.commit(Self.issue(Self.key(1))) == true)
        #expect(ceiling.commit(.revoke(Self.key(1))) == true)
        #expect(ceiling.commit(Self.issue(Self.key(1))) == false)
    }

    @Test("inherited ranges of a host name's addresses are counted as its grants are")
    func inheritedRangesCount() throws {
        var ceiling = try Self.named()
        var contents = TableContents()
        contents.standing = [
            StandingKey(clients: AddressRange(Self.key(0).client, Self.key(63).client), service: Self.nfs)
        ]
        ceiling.inherit(contents)
        #expect(ceiling.outside.addressCount == 64)
        #expect(ceiling.commit(Self.issue(Self.key(64))) == false)
    }

    @Test("files that are read anew leave counted what lies outside of the new prefixes")
    func reload() throws {
        var ceiling = try Self.named()
        for number in 0..<64 { #expect(ceiling.commit(Self.issue(Self.key(number))) == true) }
        var wider = Self.ceiling([.sample(from: [.host("a"), try term("203.0.113.0/27")])])
        wider.succeed(ceiling)
        #expect(wider.outside.addressCount == 32)
        var none = Self.ceiling([.sample(from: [try term("10.0.0.0/24")])])
        none.succeed(wider)
        #expect(none.commit(Self.issue(Self.key(40))) == false)
        #expect(none.commit(.revoke(Self.key(40))) == true)
    }

    @Test(
        "a comment that could end its quotes or its line in nft's output, or that is too long, is refused",
        arguments: [
            "\"", "a\" } } table inet x { comment \"", "\\", "a\nb", "\u{0}", "\u{7f}", "é", "\u{2028}", "\u{1b}[2J",
            String(repeating: "x", count: 128),
        ])
    func comments(comment: String) throws {
        let key = GrantKey(client: try address("10.1.1.1"), service: Self.nfs)
        let ceiling = try Self.standard()
        for operation in [
            Operation.issue(key, timeout: .seconds(1), expiresIn: nil, comment: comment),
            .issueNew(key, timeout: .seconds(1), comment: comment),
            .remember(key, timeout: .seconds(1), comment: comment),
        ] {
            let refusal = ceiling.refusal(of: Self.transaction(.guardPort(Self.nfs), operation))
            #expect(refusal?.operation == 1 && refusal?.message.contains("comment") == true)
        }
    }

    @Test("any other comment passes", arguments: ["", " ", "'a' {b}; #c $d", String(repeating: "~", count: 127)])
    func soundComments(comment: String) throws {
        let key = GrantKey(client: try address("10.1.1.1"), service: Self.nfs)
        let operations: [Operation] = [
            .issue(key, timeout: .seconds(1), expiresIn: nil, comment: comment),
            .issueNew(key, timeout: .seconds(1), comment: comment),
            .remember(key, timeout: .seconds(1), comment: comment),
        ]
        #expect(try Self.standard().refusal(of: Transaction(table: "rpcwarden", operations: operations)) == nil)
    }

    @Test("an excepted host name, which isn't known here, takes nobody's grant away")
    func exceptedHost() throws {
        let ceiling = Self.ceiling([.sample(from: [try term("10.0.0.0/24")], except: [.host("c")])])
        #expect(ceiling.refusal(of: Self.transaction(try Self.issue("10.0.0.1"))) == nil)
        #expect(ceiling.refusal(of: Self.transaction(try Self.issue("10.0.1.1"))) != nil)
    }

    @Test("what an earlier run left may be put back as it was, and nothing like it")
    func inherited() throws {
        var ceiling = try Self.standard()
        var contents = TableContents()
        let key = GrantKey(client: try address("203.0.113.9"), service: Self.nfs)
        contents.granted = [
            GrantElement(key: key, timeout: .zero, expiresIn: .zero, packets: 0, bytes: 0, comment: "")
        ]
        let standing = StandingKey(clients: AddressRange(key.client, key.client), service: ServicePort(.udp, 7))
        contents.standing = [standing]
        ceiling.inherit(contents)
        #expect(ceiling.refusal(of: Self.transaction(try Self.issue("203.0.113.9"), .addStanding(standing))) == nil)
        let other = ServicePort(.tcp, 2050)
        #expect(ceiling.refusal(of: Self.transaction(try Self.issue("203.0.113.9", other))) != nil)
        #expect(ceiling.refusal(of: Self.transaction(try Self.addStanding("203.0.113.9", "203.0.113.10"))) != nil)
    }

    @Test("an inherited range that an exchange, or a table made anew, leaves out comes back no more")
    func inheritedRanges() throws {
        let all = StandingKey(clients: .allIPv4, service: ServicePort(.udp, 7))
        let other = StandingKey(clients: .allIPv4, service: ServicePort(.udp, 9))
        let shape = Settings().tableShape
        for first in [Operation.replaceStanding, .adoptTable(shape), .makeTable(shape)] {
            var ceiling = try Self.standard()
            var contents = TableContents()
            contents.standing = [all, other]
            ceiling.inherit(contents)
            #expect(ceiling.commit(first, .addStanding(all)) == true)
            #expect(ceiling.commit(.addStanding(all)) == true)
            #expect(ceiling.commit(.addStanding(other)) == false)
            #expect(ceiling.commit(first) == true)
            #expect(ceiling.commit(.addStanding(all)) == false)
        }
    }

    @Test("port 0, which no service has, is neither guarded, opened nor cut", arguments: Transport.allCases)
    func portZero(transport: Transport) throws {
        let ceiling = Self.ceiling([.sample(from: [try term("10.0.0.0/8")])])
        let nothing = ServicePort(transport, 0)
        let key = GrantKey(client: try address("10.1.1.1"), service: nothing)
        let operations: [Operation] = [
            .guardPort(nothing), .issue(key, timeout: .seconds(9), expiresIn: nil, comment: ""),
            .issueNew(key, timeout: .seconds(9), comment: ""),
            .addStanding(StandingKey(clients: AddressRange(key.client, key.client), service: nothing)),
        ]
        for operation in operations {
            let refusal = ceiling.refusal(of: Self.transaction(operation))
            #expect(refusal?.message.contains("port 0") == true, "\(operation)")
        }
        #expect(ceiling.refusal(toCut: nothing) != nil && !ceiling.permits(staying: key, for: .seconds(1)))
    }

    @Test("an inherited range that was taken away comes back no more")
    func inheritedRangeRemoved() throws {
        var ceiling = try Self.standard()
        let all = StandingKey(clients: .allIPv4, service: ServicePort(.udp, 7))
        var contents = TableContents()
        contents.standing = [all]
        ceiling.inherit(contents)
        #expect(ceiling.commit(.removeStanding(all)) == true)
        #expect(ceiling.commit(.addStanding(all)) == false)
    }

    @Test("a host name that several rules have has no more addresses than one")
    func nameTwice() throws {
        var ceiling = Self.ceiling([.sample(from: [.host("a")]), .sample(from: [.host("a")], open: .always)])
        for number in 0..<64 { #expect(ceiling.commit(Self.issue(Self.key(number))) == true) }
        #expect(ceiling.commit(Self.issue(Self.key(64))) == false)
    }

    @Test("a grant that is found stays if it may have the port, and lives no longer than a new one")
    func staying() throws {
        let ceiling = try Self.standard()
        let key = GrantKey(client: try address("10.1.1.1"), service: Self.nfs)
        #expect(ceiling.permits(staying: key, for: .seconds(86_400)))
        #expect(!ceiling.permits(staying: key, for: .seconds(86_401)))
        let ssh = GrantKey(client: key.client, service: ServicePort(.tcp, 22))
        #expect(!ceiling.permits(staying: ssh, for: .seconds(1)))
    }

    @Test("what opens nothing is always permitted")
    func harmless() throws {
        let key = GrantKey(client: try address("203.0.113.9"), service: ServicePort(.tcp, 22))
        let range = StandingKey(clients: .allIPv4, service: ServicePort(.tcp, 22))
        let operations: [Operation] = [
            .unguardPort(key.service), .revoke(key), .remember(key, timeout: .seconds(9_999_999), comment: ""),
            .forget(key), .removeStanding(range), .replaceStanding,
            .quarantine(key.client, timeout: .seconds(9_999_999)),
            .release(key.client), .shield(.udp, timeout: .seconds(5)), .unshield,
            // The clients that the shield of port 111 admits.
            .addStanding(StandingKey(clients: .allIPv4, service: ServicePort(.udp, 111))),
        ]
        #expect(try Self.standard().refusal(of: Transaction(table: "rpcwarden", operations: operations)) == nil)
    }

    @Test("agrees with a count of each address", arguments: UInt64(1)...300)
    func covers(seed: UInt64) {
        var dice = Dice(state: seed)
        var ranges: [AddressRange] = []
        var next = UInt32(dice.number(0...4))
        while next < 40 {
            let last = next + UInt32(dice.number(0...6))
            ranges.append(AddressRange(.v4(next), .v4(last)))
            next = last + UInt32(dice.number(1...5))
        }
        let first = UInt32(dice.number(0...45))
        let range = AddressRange(.v4(first), .v4(first + UInt32(dice.number(0...20))))
        let uncovered = (0...80).map { IPAddress.v4($0) }
            .filter { address in range.contains(address) && !ranges.contains { $0.contains(address) } }
        for limit in [0, 1, 2, 5, 1000] {
            #expect(
                AddressRanges(ranges).uncovered(range, limit: limit) == (uncovered.count > limit ? nil : uncovered))
        }
    }
}
