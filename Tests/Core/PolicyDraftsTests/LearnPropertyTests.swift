import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import Policy
import PolicyDrafts
import PolicyFile
import Portmapper
import TestSupport
import Testing
import Warden

/// A call and its peer.
private struct Asked: Hashable {
    var peer: Peer
    var call: PortmapperCall

    /// Whether any policy can permit the call.
    var isLearnable: Bool {
        switch call {
        case .null, .getPort, .getAddress, .getVersionAddress, .getAddressList: true
        case .dump: peer.transport == .tcp
        case .setMapping, .unsetMapping, .set, .unset, .callIt, .broadcast, .indirect, .getTime,
            .universalToTransportAddress, .transportToUniversalAddress, .getStatistics:
            false
        }
    }

    /// The services that the call looks up.
    var services: Set<ServiceKey> {
        switch call {
        case .getPort(let mapping): [ServiceKey(mapping.program, mapping.transport ?? peer.transport)]
        case .getAddress(_, let rpcb), .getVersionAddress(let rpcb): [ServiceKey(rpcb.program, peer.transport)]
        case .getAddressList(let rpcb):
            [ServiceKey(rpcb.program, .tcp), ServiceKey(rpcb.program, .udp)]
        case .null, .setMapping, .unsetMapping, .set, .unset, .dump, .callIt, .broadcast, .indirect,
            .getTime, .universalToTransportAddress, .transportToUniversalAddress, .getStatistics:
            []
        }
    }

    var lists: Bool {
        switch call {
        case .dump: isLearnable
        default: false
        }
    }
}

/// The events of a Warden in observe mode, with an rpcbind without registrations.
private func log(of calls: [Asked], under policy: Policy) -> [AuditEvent] {
    var settings = Settings()
    settings.mode = .observe
    var warden = Warden(settings: settings, policy: policy, names: names, trustedOwners: ["superuser"])
    var events: [AuditEvent] = []
    for (index, asked) in calls.enumerated() {
        let now = Instant(nanoseconds: Int64(index + 1) * 1_000_000_000)
        var actions: [Action] = []
        let incoming = IncomingCall(peer: asked.peer, xid: UInt32(index), byteCount: 100, content: .call(asked.call))
        warden.callReceived(incoming, at: now, into: &actions)
        var next = 0
        while next < actions.count {
            switch actions[next] {
            case .ask(.registry, _):
                warden.answered(.registry, with: .success(.registry(Listing())), at: now, into: &actions)
            case .ask(let question, _):
                warden.answered(question, with: .success(.port(0)), at: now, into: &actions)
            case .inspectListeners(_, let look): warden.listenersInspected(look, [:], at: now, into: &actions)
            case .callServices(_, let server, let look):
                warden.servicesCalled(look, of: server, [:], at: now, into: &actions)
            case .audit(let event): events.append(event)
            case .sendReply, .closeConnection, .inspectOwner, .commit, .inspectGrants, .cutFlows, .askClient,
                .tellFleet:
                break
            }
            next += 1
        }
    }
    return events
}

extension SeededGenerator {
    static let programs: [Program] = [.nfs, .mountd, .status, .portmapper, Program(0x2000_0001)]
    static let clients: [IPAddress] =
        (0..<12).map { .v4(0x0a00_0000 + $0 * 83) } + (0..<6).map { .v6(IPv6Bits(0xfd00 << 112 | UInt128($0) << 60)) }

    fileprivate mutating func asked() -> Asked {
        let client = Self.clients.randomElement(using: &self) ?? .v4(1)
        let host = client.isIPv4 ? ip("10.255.0.1") : ip("fdff::1")
        let peer = Peer(
            address: client, port: 700, transport: Bool.random(using: &self) ? .tcp : .udp,
            asked: UniversalAddress(host: host, port: 111), channel: 1)
        let program = Self.programs.randomElement(using: &self) ?? .nfs
        let rpcb = RPCB(program: program, version: 3, netID: "tcp", address: "", owner: "")
        let number: UInt32 = [6, 17, 6, 17, 1].randomElement(using: &self) ?? 6
        let port = PortmapperCall.getPort(Mapping(program: program, version: 3, protocolNumber: number, port: 0))
        let all: [PortmapperCall] = [
            .null(.v3), .getAddress(.v4, rpcb), .getVersionAddress(rpcb), .dump(.v2), .dump(.v4),
            .getAddressList(rpcb), .getStatistics, .set(.v4, rpcb), .getTime(.v3),
        ]
        return Asked(peer: peer, call: Bool.random(using: &self) ? port : all.randomElement(using: &self) ?? port)
    }

    fileprivate mutating func policy() -> Policy {
        let rules = (0..<Int.random(in: 0...3, using: &self)).map { number in
            Rule(
                name: "r\(number)", location: Location(file: "p.yaml", line: number + 1, column: 1),
                from: [.prefix(Prefix(Self.clients.randomElement(using: &self) ?? .v4(1)))],
                to: [Self.programs.randomElement(using: &self) ?? .nfs], lists: Bool.random(using: &self),
                open: Opening.allCases.randomElement(using: &self) ?? .never)
        }
        return Policy(rules: rules)
    }
}

@Suite("learn from what a Warden logs") struct LearnPropertyTests {
    private func learn(_ calls: [Asked], under policy: Policy, _ aggregation: Aggregation) -> Policy {
        var lessons = ObservedCalls(listsOverUDP: false)
        for event in log(of: calls, under: policy) { lessons.note(event, at: Timestamp(milliseconds: 0)) }
        return Policy(rules: parsed(lessons.draft(aggregation, names: names).policy).rules)
    }

    @Test("every call is permitted when it is replayed, whatever the aggregation", arguments: 0..<40 as Range<UInt64>)
    func replay(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        let calls = (0..<Int.random(in: 1...40, using: &random)).map { _ in random.asked() }
        let widths = [
            Aggregation.none, Aggregation(ipv4Length: 24, ipv6Length: 64), Aggregation(ipv4Length: 8, ipv6Length: 16),
        ]
        let before = random.policy()
        for width in widths {
            let rules = Rulebook(settings: Settings(), policy: learn(calls, under: before, width))
            for asked in calls where asked.isLearnable {
                let decision = rules.decide(asked.call, from: asked.peer)
                if case .failure(let reason) = decision { Issue.record("\(asked): \(reason)") }
            }
        }
    }

    @Test("one more client, program, transport or listing is denied", arguments: 0..<40 as Range<UInt64>)
    func nothingMore(seed: UInt64) {
        var random = SeededGenerator(state: seed &+ 500_000)
        let calls = (0..<Int.random(in: 1...40, using: &random)).map { _ in random.asked() }
        let policy = learn(calls, under: random.policy(), .none)
        let clients = SeededGenerator.clients.flatMap { [$0, $0.neighbour] }
        for client in clients {
            let own = calls.filter { $0.peer.address == client && $0.isLearnable }
            #expect(policy.lists(client) == !own.isEmpty)
            let hasList = if case .permitted = policy.listing(by: client) { true } else { false }
            #expect(hasList == own.contains(where: \.lists))
            for program in SeededGenerator.programs where program != .portmapper {
                for transport in Transport.allCases {
                    let decision = policy.lookup(program, over: transport, by: client)
                    let isPermitted = if case .permitted = decision { true } else { false }
                    #expect(
                        isPermitted == own.contains { $0.services.contains(ServiceKey(program, transport)) },
                        "\(client) \(program) \(transport)")
                }
            }
        }
    }

    @Test("an aggregated permission needs a client of its own in the same prefix", arguments: 0..<30 as Range<UInt64>)
    func noWider(seed: UInt64) {
        var random = SeededGenerator(state: seed &+ 900_000)
        let calls = (0..<Int.random(in: 1...40, using: &random)).map { _ in random.asked() }
        let policy = learn(calls, under: Policy(), Aggregation(ipv4Length: 24, ipv6Length: 64))
        for client in SeededGenerator.clients.flatMap({ [$0, $0.neighbour] }) {
            let near = calls.filter { $0.isLearnable && $0.peer.address.site == client.site }
            if policy.lists(client) { #expect(!near.isEmpty) }
            for program in SeededGenerator.programs where program != .portmapper {
                for transport in Transport.allCases {
                    guard case .permitted = policy.lookup(program, over: transport, by: client) else { continue }
                    #expect(near.contains { $0.services.contains(ServiceKey(program, transport)) })
                }
            }
        }
    }
}

extension IPAddress {
    fileprivate var neighbour: IPAddress {
        switch self {
        case .v4(let bits): .v4(bits + 1)
        case .v6(let bits): .v6(bits.successor)
        }
    }

    fileprivate var site: Prefix? { Prefix(self, length: isIPv4 ? 24 : 64) }
}
