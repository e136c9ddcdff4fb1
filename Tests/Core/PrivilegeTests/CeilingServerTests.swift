import Addresses
import Configuration
import Firewall
import Policy
import Testing

@testable import Privilege

@Suite("the ceiling at the servers behind this gateway") struct CeilingServerTests {
    /// `filer` at 10.91.2.2 (1), fd91:2::2 (2) and the alias 198.51.100.2 (3); `nas` at 10.91.2.5 (4).
    private static func settings() throws -> Settings {
        var settings = Settings()
        var gateway = Settings.Gateway()
        gateway.servers = [
            server("filer", [try address("10.91.2.2"), try address("fd91:2::2")], [try address("198.51.100.2")]),
            server("nas", [try address("10.91.2.5")]),
        ]
        settings.gateway = gateway
        return settings
    }

    private static func ceiling(_ rules: [Rule], _ change: (inout Settings) -> Void = { _ in }) throws -> Ceiling {
        var settings = try settings()
        change(&settings)
        return Ceiling(settings: settings, rules: rules)
    }

    private static func server(_ name: String, _ addresses: [IPAddress], _ aliases: [IPAddress] = []) -> Settings.Server
    {
        var server = Settings.Server()
        (server.name, server.addresses, server.aliases) = (name, addresses, aliases)
        return server
    }

    private static func rule(
        _ from: String, at scope: ServerScope, over: Set<Transport> = [.tcp, .udp], program: UInt32 = 100_003,
        open: Opening = .onLookup
    ) throws -> Rule {
        var rule = Rule.sample(from: [try term(from)], over: over, open: open)
        rule.at = scope
        rule.to = [Program(program)]
        return rule
    }

    private static func nfs(_ server: UInt16, _ transport: Transport = .tcp) -> ServicePort {
        ServicePort(transport, 2049, at: ServerID(rawValue: server))
    }

    private static func issue(_ client: String, _ service: ServicePort) throws -> Operation {
        .issue(
            GrantKey(client: try address(client), service: service), timeout: .seconds(60), expiresIn: nil, comment: "")
    }

    private static func standing(_ client: String, _ service: ServicePort) throws -> Operation {
        let client = try address(client)
        return .addStanding(StandingKey(clients: AddressRange(client, client), service: service))
    }

    private static func callers(_ first: String, _ last: String, _ server: UInt16) throws -> Operation {
        .addCallers(
            CallersKey(
                server: ServerID(rawValue: server), clients: AddressRange(try address(first), try address(last))))
    }

    private static func refusal(_ ceiling: Ceiling, _ operations: Operation...) -> CommitFailure? {
        do throws(CommitFailure) {
            _ = try ceiling.judge(Transaction(table: "rpcwarden", operations: operations))
            return nil
        } catch {
            return error
        }
    }

    /// Does the operation if it is permitted.
    private static func commit(_ ceiling: inout Ceiling, _ operation: Operation) -> Bool {
        let transaction = Transaction(table: "rpcwarden", operations: [operation])
        do throws(CommitFailure) {
            ceiling.done(transaction, try ceiling.judge(transaction))
            return true
        } catch {
            return false
        }
    }

    @Test(
        "a client is admitted where a rule about that server names it over that transport, at each of its addresses",
        arguments: [
            ("10.0.0.7", 1, Transport.tcp, true), ("10.0.0.7", 3, .udp, true), ("10.0.0.7", 4, .tcp, false),
            ("10.0.0.7", 0, .tcp, false), ("fd00::7", 2, .tcp, true), ("172.16.0.7", 1, .tcp, true),
            ("172.16.0.7", 4, .tcp, true), ("172.16.0.7", 4, .udp, false), ("192.168.0.7", 0, .tcp, true),
            ("192.168.0.7", 1, .tcp, false), ("198.18.0.7", 1, .tcp, false),
            // Of another address family than the server's.
            ("fd00::7", 1, .tcp, false), ("10.0.0.7", 2, .tcp, false),
            // No such server.
            ("172.16.0.7", 5, .tcp, false),
        ])
    func clients(client: String, server: UInt16, transport: Transport, isPermitted: Bool) throws {
        let ceiling = try Self.ceiling([
            try Self.rule("10.0.0.0/8", at: .servers(["filer"])), try Self.rule("fd00::/8", at: .servers(["filer"])),
            try Self.rule("172.16.0.0/16", at: .anyServer, over: [.tcp]),
            try Self.rule("192.168.0.0/16", at: .thisHost),
            try Self.rule("198.18.0.0/16", at: .anyServer, open: .never),
        ])
        let service = Self.nfs(server, transport)
        #expect((Self.refusal(ceiling, try Self.issue(client, service)) == nil) == isPermitted)
        #expect((Self.refusal(ceiling, try Self.standing(client, service)) == nil) == isPermitted)
        let new = Operation.issueNew(
            GrantKey(client: try address(client), service: service), timeout: .seconds(1), comment: "")
        #expect((Self.refusal(ceiling, new) == nil) == isPermitted)
    }

    @Test("a server that isn't configured has no element of any kind, and no flow to it is cut")
    func unknown() throws {
        let ceiling = try Self.ceiling([try Self.rule("0.0.0.0/0", at: .anyServer, program: 100_021)])
        for (server, isKnown) in [(UInt16(4), true), (5, false)] {
            let service = Self.nfs(server)
            let key = GrantKey(client: try address("10.0.0.7"), service: service)
            for operation in [
                Operation.guardPort(service), try Self.issue("10.0.0.7", service),
                try Self.standing("10.0.0.7", service),
                .remember(key, timeout: .seconds(9), comment: ""), try Self.callers("10.0.0.7", "10.0.0.9", server),
            ] {
                #expect((Self.refusal(ceiling, operation) == nil) == isKnown, "\(operation)")
            }
            #expect((ceiling.refusal(toCut: service) == nil) == isKnown)
            #expect(ceiling.permits(staying: key, for: .seconds(1)) == isKnown)
        }
    }

    @Test("port 111 and the ports of `never` are neither closed nor opened at servers", arguments: [22, 111, 443])
    func never(port: UInt16) throws {
        let ceiling = try Self.ceiling([try Self.rule("0.0.0.0/0", at: .anyServer)]) { $0.firewall.never = [22, 443] }
        let service = ServicePort(.tcp, port, at: ServerID(rawValue: 1))
        for operation in [
            Operation.guardPort(service), try Self.issue("10.0.0.7", service), try Self.standing("10.0.0.7", service),
        ] {
            #expect(Self.refusal(ceiling, operation) != nil, "\(operation)")
        }
        #expect(ceiling.refusal(toCut: service) != nil)
    }

    @Test("a host name leaves addresses open at the servers of its rules, counted for each server by itself")
    func hostNames() throws {
        let rules = [
            try Self.rule("a", at: .servers(["filer"])), try Self.rule("b", at: .anyServer),
            try Self.rule("10.0.0.0/8", at: .anyServer),
        ]
        var ceiling = try Self.ceiling(rules)
        func client(_ number: Int) -> String { "203.0.113.\(number)" }
        // Both addresses of a server count as one server.
        for number in 0..<128 {
            #expect(Self.commit(&ceiling, try Self.issue(client(number), Self.nfs(number % 2 == 0 ? 1 : 3))))
        }
        #expect(!Self.commit(&ceiling, try Self.issue(client(200), Self.nfs(1))))
        #expect(!Self.commit(&ceiling, try Self.standing(client(200), Self.nfs(3))))
        #expect(Self.commit(&ceiling, try Self.issue(client(0), Self.nfs(3))), "counted already")
        #expect(Self.commit(&ceiling, try Self.issue("10.1.1.1", Self.nfs(1))))
        for number in 0..<64 { #expect(Self.commit(&ceiling, try Self.issue(client(number), Self.nfs(4)))) }
        #expect(!Self.commit(&ceiling, try Self.issue(client(64), Self.nfs(4))))
        #expect(!Self.commit(&ceiling, try Self.issue(client(0), Self.nfs(0))), "no name is about this host")
        let key = GrantKey(client: try address(client(1)), service: Self.nfs(4))
        #expect(Self.commit(&ceiling, .revoke(key)))
        #expect(Self.commit(&ceiling, try Self.issue(client(64), Self.nfs(4))))
        var fresh = try Self.ceiling(rules)
        fresh.succeed(ceiling)
        #expect(!Self.commit(&fresh, try Self.issue(client(1), Self.nfs(4))))
        #expect(Self.commit(&fresh, .makeTable(try Self.settings().tableShape)))
        #expect(Self.commit(&fresh, try Self.issue(client(1), Self.nfs(4))))
    }

    @Test(
        "a server may ask the portmappers of clients to whom a rule opens nlockmgr there",
        arguments: [
            ("10.0.0.0", "10.0.0.255", 1, true), ("10.0.0.0", "10.0.1.0", 1, false),
            ("10.0.0.0", "10.0.0.255", 4, false),
            ("10.0.0.0", "10.0.0.255", 0, false), ("fd00::", "fd00::ff", 1, false), ("fd00::", "fd00::ff", 2, true),
            ("172.16.0.1", "172.16.0.1", 1, false), ("192.168.0.1", "192.168.0.1", 4, false),
            ("192.0.2.1", "192.0.2.1", 4, true),
            ("0.0.0.0", "255.255.255.255", 1, false),
        ])
    func callers(first: String, last: String, server: UInt16, isPermitted: Bool) throws {
        let ceiling = try Self.ceiling([
            try Self.rule("10.0.0.0/24", at: .servers(["filer"]), over: [.udp], program: 100_021),
            try Self.rule("fd00::/64", at: .servers(["filer"]), program: 100_021),
            try Self.rule("172.16.0.0/16", at: .servers(["filer"])),
            try Self.rule("192.168.0.0/16", at: .servers(["nas"]), program: 100_021, open: .never),
            try Self.rule("192.0.2.0/24", at: .servers(["nas"]), program: 100_021),
            try Self.rule("10.0.0.0/8", at: .thisHost, program: 100_021),
        ])
        let refusal = Self.refusal(ceiling, try Self.callers(first, last, server))
        #expect((refusal == nil) == isPermitted)
    }

    @Test("the addresses of a host name that may lock are counted for callers by themselves")
    func callersByName() throws {
        var ceiling = try Self.ceiling([
            try Self.rule("a", at: .servers(["filer"]), program: 100_021),
            try Self.rule("b", at: .servers(["nas"])),
        ])
        #expect(Self.commit(&ceiling, try Self.callers("203.0.113.0", "203.0.113.31", 1)))
        #expect(Self.commit(&ceiling, try Self.callers("203.0.113.32", "203.0.113.63", 3)))
        #expect(!Self.commit(&ceiling, try Self.callers("203.0.113.64", "203.0.113.64", 1)))
        #expect(!Self.commit(&ceiling, try Self.callers("203.0.113.0", "203.0.113.0", 4)), "b may not lock")
        for number in 0..<64 { #expect(Self.commit(&ceiling, try Self.issue("203.0.113.\(number)", Self.nfs(4)))) }
        let key = CallersKey(
            server: ServerID(rawValue: 1),
            clients: AddressRange(try address("203.0.113.0"), try address("203.0.113.31")))
        #expect(Self.commit(&ceiling, .removeCallers(key)))
        #expect(Self.commit(&ceiling, try Self.callers("203.0.113.64", "203.0.113.64", 1)))
        #expect(Self.commit(&ceiling, .replaceStanding))
        #expect(!Self.commit(&ceiling, try Self.callers("203.0.113.65", "203.0.113.127", 1)), "they stay")
        #expect(Self.commit(&ceiling, .adoptTable(try Self.settings().tableShape)))
        #expect(Self.commit(&ceiling, try Self.callers("203.0.113.65", "203.0.113.127", 1)))
    }

    @Test(
        "a server may call back the clients that a rule permits nlockmgr there, and gets nothing else by that",
        arguments: [
            ("10.0.0.7", 1, true), ("10.0.0.7", 4, false), ("172.16.0.1", 1, false), ("fd00::7", 1, false),
            ("fd00::7", 2, true), ("10.0.0.7", 9, false), ("10.0.0.7", 0, false), ("10.91.2.5", 1, false),
        ])
    func callbacks(client: String, server: UInt16, isPermitted: Bool) throws {
        let rules = [
            try Self.rule("10.0.0.0/8", at: .servers(["filer"]), over: [.udp], program: 100_021),
            try Self.rule("fd00::/64", at: .servers(["filer"]), program: 100_021),
            try Self.rule("172.16.0.0/16", at: .servers(["filer"])),
        ]
        let ceiling = try Self.ceiling(rules)
        let id = ServerID(rawValue: server).callback
        let service = ServicePort(.tcp, 4045, at: id)
        #expect((Self.refusal(ceiling, try Self.issue(client, service)) == nil) == isPermitted)
        for port: UInt16 in [22, 111] {
            #expect(Self.refusal(ceiling, try Self.issue(client, ServicePort(.tcp, port, at: id))) != nil)
        }
        let key = GrantKey(client: try address(client), service: service)
        for operation in [
            Operation.guardPort(service), try Self.standing(client, service),
            .remember(key, timeout: .seconds(1), comment: ""),
            .addCallers(CallersKey(server: id, clients: AddressRange(key.client, key.client))),
        ] {
            #expect(Self.refusal(ceiling, operation) != nil, "\(operation)")
        }
        let off = try Self.ceiling(rules) { $0.gateway?.servers[0].callbacks = .off }
        #expect(Self.refusal(off, try Self.issue(client, service)) != nil)
        #expect(Self.refusal(off, try Self.callers(client, client, server)) != nil)
    }

    @Test("callbacks to the addresses of a host name are counted with that name's callers")
    func callbacksByName() throws {
        var ceiling = try Self.ceiling([try Self.rule("a", at: .servers(["filer"]), program: 100_021)])
        let service = ServicePort(.tcp, 4045, at: ServerID(rawValue: 1).callback)
        #expect(Self.commit(&ceiling, try Self.callers("203.0.113.0", "203.0.113.62", 1)))
        #expect(Self.commit(&ceiling, try Self.issue("203.0.113.0", service)), "counted already")
        #expect(Self.commit(&ceiling, try Self.issue("203.0.113.100", service)))
        #expect(!Self.commit(&ceiling, try Self.issue("203.0.113.101", service)))
        let key = GrantKey(client: try address("203.0.113.100"), service: service)
        #expect(Self.commit(&ceiling, .revoke(key)))
        #expect(Self.commit(&ceiling, try Self.issue("203.0.113.101", service)))
    }

    @Test("what an earlier run left at servers may be put back as it was")
    func inherited() throws {
        var ceiling = try Self.ceiling([try Self.rule("10.0.0.0/8", at: .anyServer)])
        let client = try address("203.0.113.9")
        let (key, one) = (GrantKey(client: client, service: Self.nfs(1)), AddressRange(client, client))
        var contents = TableContents()
        contents.granted = [
            GrantElement(key: key, timeout: .zero, expiresIn: .zero, packets: 0, bytes: 0, comment: "")
        ]
        contents.standing = [StandingKey(clients: one, service: Self.nfs(4))]
        contents.callers = [CallersKey(server: ServerID(rawValue: 1), clients: one)]
        ceiling.inherit(contents)
        let text = "203.0.113.9"
        #expect(
            Self.refusal(
                ceiling, try Self.issue(text, Self.nfs(1)), try Self.standing(text, Self.nfs(4)),
                try Self.callers(text, text, 1)) == nil)
        for operation in [
            try Self.issue(text, Self.nfs(4)), try Self.standing(text, Self.nfs(1)), try Self.callers(text, text, 4),
        ] {
            #expect(Self.refusal(ceiling, operation) != nil, "\(operation)")
        }
    }

    @Test("the table is made for the configured servers, and no others")
    func shape() throws {
        let (ceiling, wanted) = (try Self.ceiling([]), try Self.settings().tableShape)
        #expect(Self.refusal(ceiling, .makeTable(wanted)) == nil)
        let changes: [(inout GatewayShape) -> Void] = [
            { $0 = GatewayShape(addresses: $0.addresses.dropLast()) }, { $0.append(.v4(1)) }, { $0.serverMark = 1 },
            { $0.closed.append(.init(ServerID(rawValue: 1), .tcp, 1...2)) },
        ]
        for change in changes {
            var shape = wanted
            if var gateway = shape.gateway {
                change(&gateway)
                shape.gateway = gateway
            }
            #expect(shape != wanted && Self.refusal(ceiling, .makeTable(shape)) != nil)
        }
        var alone = wanted
        alone.gateway = nil
        #expect(Self.refusal(ceiling, .adoptTable(alone)) != nil)
    }

    @Test("inherited callers that a table made anew leaves out come back no more")
    func inheritedCallersLeft() throws {
        let rules = [try Self.rule("10.0.0.0/8", at: .anyServer)]
        let key = CallersKey(server: ServerID(rawValue: 1), clients: .allIPv4)
        let shape = try Self.settings().tableShape
        for operation in [Operation.makeTable(shape), .adoptTable(shape)] {
            var ceiling = try Self.ceiling(rules)
            var contents = TableContents()
            contents.callers = [key]
            ceiling.inherit(contents)
            let both = Transaction(table: "rpcwarden", operations: [operation, .addCallers(key)])
            ceiling.done(both, try ceiling.judge(both))
            #expect(Self.commit(&ceiling, operation))
            #expect(!Self.commit(&ceiling, .addCallers(key)))
        }
    }
}
