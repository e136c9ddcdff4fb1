import Addresses
import Calls
import Configuration
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import TestSupport
import Testing

@testable import Exchanges
@testable import Gate
@testable import Warden

/// A long, seeded run: calls of all kinds of peers, honest and hostile registrations, failures of kernel and
/// rpcbind, reloads.
@Suite("simulation") struct SimulationTests {
    @Test("no step breaks an invariant, and quiet leaves nothing behind", arguments: 0..<24)
    func life(seed: Int) {
        var life = Life(seed: UInt64(seed), settings: Life.settings(seed))
        for _ in 0..<2000 { life.step() }
        life.fallsQuiet()
        #expect(life.answered > 100)
    }
}

private struct Life {
    let bench: Bench
    var random: SeededGenerator
    var xid: UInt32 = 0

    static let policies: [[Rule]] = [
        [.sample(to: [.mountd, .status], lists: true), .sample("nfs", to: [.nfs], over: [.tcp], open: .always)],
        [.sample(from: ["10.1.2.0/24"]), .sample("told only", to: [.nfs], open: .never)],
        [.sample(to: [.mountd, .nfs, .nfsACL, .quota, .status], over: [.tcp], lists: true)],
        [.sample(except: ["10.1.2.3"], to: [.mountd, .nfsACL]), .sample("acl", to: [.nfsACL], open: .always)],
        [],
    ]

    static let clients = ["10.1.2.3", "10.1.2.4", "10.1.3.5", "2001:db8:1::7"]
    static let strangers = ["192.0.2.9", "2001:db8:ffff::1"]

    static func settings(_ seed: Int) -> Settings {
        Settings().with {
            $0.firewall.keep = .seconds(20)
            $0.firewall.never = [22, 111, 4045]
            $0.limits.grants = seed % 3 == 0 ? 6 : 65_536
            $0.limits.grantsPerClient = 4
            $0.denial.refuse = Settings.Denial.ToNamed.allCases[seed % 3]
            $0.rpcbind.permitsLocalRegistration = seed % 4 == 0
        }
    }

    init(seed: UInt64, settings: Settings) {
        random = SeededGenerator(state: seed)
        bench = Bench(Self.policies[0], settings: settings)
        bench.rpcbind.registrations = .typical
        bench.silent = Self.loopbackOnly
        bench.start()
        bench.holdsQuestions = true
        bench.audit = Self.check
    }

    var answered: Int { bench.loop.warden.counters.permitted }

    mutating func one<Element>(of choices: [Element]) -> Element {
        choices[Int.random(in: choices.indices, using: &random)]
    }

    mutating func isLikely(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    mutating func step() {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<50: call()
        case 50..<70: if !bench.questions.isEmpty { bench.answerOne() }
        case 70..<75: bench.handle { $0.flush(at: $1, into: &$2) }
        case 75..<83: changeRegistry()
        case 83..<86: failCommits()
        case 86..<88: bench.loseAll()
        case 88..<90: reload()
        case 90..<91: bench.kernel.flush()
        case 91..<93:
            let client = ip(one(of: Self.clients))
            bench.handle { _ = $0.revoke(client: client, port: nil, transport: nil, at: $1, into: &$2) }
        case 93..<94:
            bench.silent = Self.loopbackOnly
            if isLikely(50) { bench.silent[one(of: Self.ports)] = ListenerState() }
        default: pass()
        }
        #expect(bench.loop.warden.exchanges.isConsistent == true)
    }

    mutating func pass() {
        if isLikely(30), let key = bench.kernel.granted.keys.sorted().first { bench.kernel.packet(key) }
        bench.advance(by: one(of: [.milliseconds(50), .milliseconds(400), .seconds(9)]))
        // rpcbind's client answers or gives up within 800 ms.
        bench.answerAll()
    }

    /// rpcbind's own sockets: no other host can reach them, whichever user registers a service there.
    static let loopbackOnly: [ServicePort: ListenerState] = [.tcp(1111): .init(), .udp(1111): .init()]
    static let ports: [ServicePort] = [.tcp(20048), .udp(20048), .tcp(2049), .tcp(662), .tcp(875), .tcp(5000)]

    mutating func call() {
        xid += 1
        let transport = one(of: Transport.allCases)
        var peer: Peer
        switch Int.random(in: 0..<10, using: &random) {
        case 0: peer = .loopback.over(transport)
        case 1: peer = .from(one(of: Self.strangers), transport)
        case 2: peer = .from("127.0.0.1", .udp, asking: ip("10.1.0.1"), interface: 2)
        default: peer = .from(one(of: Self.clients), transport)
        }
        peer.isBroadcast = isLikely(2)
        let program = one(of: [Program.mountd, .nfs, .nfsACL, .status, .quota, .portmapper, .unheardOf])
        let version = one(of: [UInt32(1), 3, 77])
        let rpcb = RPCB(program, version, .tcp, port: one(of: [22, 5000, 2049]))
        let remote = RemoteCall(program: program, version: version, procedure: 1)
        let call = one(
            of: [
                .null(.v2), .port(of: program, .tcp, version: version), .port(of: program, .udp, version: version),
                .port(of: program, .tcp, version: version), .address(of: program, version: version),
                .address(of: program, version: version, as: .v3), .versionAddress(of: program, version: version),
                .addressList(of: program, version: version), .dump(.v2), .dump(.v4), .set(.v4, rpcb), .unset(.v3, rpcb),
                .setMapping(Mapping(program: program, version: version, protocolNumber: 6, port: 22)),
                .callIt(.v2, remote),
                .broadcast(remote), .indirect(remote), .getStatistics, .getTime(.v3),
            ] as [PortmapperCall])
        let incoming = IncomingCall(call, from: peer, xid: isLikely(10) ? xid - 1 : xid)
        bench.handle { $0.callReceived(incoming, at: $1, into: &$2) }
    }

    mutating func changeRegistry() {
        let owner = one(of: ["superuser", "superuser", "102", "1000", "unknown"])
        let program = one(of: [Program.mountd, .nfs, .nfsACL, .status, .quota])
        let port = one(of: [UInt16(20048), 2049, 662, 875, 5000, 22, 4045, 1111])
        if isLikely(50) {
            bench.rpcbind.registrations.removeAll { $0.program == program }
        } else {
            bench.rpcbind.registrations += RPCB.everywhere(program, one(of: [1, 3, 77]), port: port, owner: owner)
        }
        if bench.rpcbind.registrations.count > 60 { bench.rpcbind.registrations = .typical }
        bench.rpcbind.isDown = isLikely(5)
    }

    mutating func failCommits() {
        bench.kernel.refusals = (0..<Int.random(in: 1...4, using: &random)).map { _ in
            CommitFailure(
                errno: one(of: [1, 2, 23, 28]), message: "scripted",
                operation: isLikely(50) ? Int.random(in: 0..<9, using: &random) : nil)
        }
    }

    mutating func reload() {
        let rules = one(of: Self.policies)
        let settings = bench.loop.warden.settings.with {
            $0.mode = isLikely(15) ? .observe : .enforce
            $0.firewall.keep = .seconds(one(of: [5, 20, 60]))
            $0.limits.grants = one(of: [3, 6, 65_536])
            $0.firewall.never = one(of: [[22, 111, 4045], [22, 111, 4045, 662]])
        }
        let policy = Policy(rules: rules)
        bench.handle { $0.policyReplaced(PolicySet(policy), settings: settings, at: $1, into: &$2) }
    }

    /// All questions are answered and nothing fails: the remaining state must be the intended state.
    mutating func fallsQuiet() {
        bench.rpcbind.isDown = false
        bench.kernel.refusals = []
        bench.silent = Self.loopbackOnly
        let calls = bench.loop.warden.exchanges.count
        let before = bench.replies.count + bench.closed.count + bench.events.count
        for _ in 0..<3 {
            bench.answerAll()
            bench.advance(by: .milliseconds(500))
        }
        bench.answerAll()
        #expect(bench.isQuiet)
        #expect(bench.replies.count + bench.closed.count + bench.events.count >= before + calls)
        checkState()
        bench.advance(by: .seconds(200))
        bench.answerAll()
        #expect(bench.loop.warden.grantCount == 0)
    }

    /// Table, ledger, registry and policy agree.
    private func checkState() {
        let settings = bench.loop.warden.settings
        // A table that was flushed without a notification is made again by the next transaction that needs it.
        guard bench.kernel.shape != nil else { return }
        let elements = bench.loop.warden.desiredElements()
        #expect(bench.kernel.shape == settings.tableShape)
        #expect(bench.kernel.guarded == bench.loop.warden.guardedServices)
        #expect((bench.kernel.guarded, bench.kernel.standing) == (elements.guarded, elements.standing))
        let grants = Dictionary(uniqueKeysWithValues: bench.loop.warden.gate.grants.map { ($0.key, $0.grant) })
        #expect(Set(bench.kernel.granted.keys) == Set(grants.keys))
        for (key, grant) in grants {
            let programs = Self.trusted(bench)[key.service] ?? []
            let isPermitted = grant.programs.contains {
                programs.contains($0) && bench.loop.warden.rules.opens($0, key)
            }
            #expect(isPermitted)
            #expect(!settings.firewall.never.contains(key.service.port))
        }
    }

    static func trusted(_ bench: Bench) -> [ServicePort: Set<Program>] {
        var programs: [ServicePort: Set<Program>] = [:]
        for registration in bench.loop.warden.registry?.registrations ?? []
        where ["superuser", "102"].contains(registration.owner) {
            if let service = registration.service { programs[service, default: []].insert(registration.program) }
        }
        return programs
    }

    static func check(_ action: Bench.Performed, _ bench: Bench) {
        switch action {
        case .reply(let sent): checkReply(sent.reply, to: sent.peer, bench)
        case .question(.registration): #expect(bench.loop.warden.settings.rpcbind.permitsLocalRegistration)
        case .question: break
        case .clientQuestion: Issue.record("no server calls back")
        case .ownerLookUp(let peer): #expect(peer.isLocal)
        case .commit(let transaction): checkCommit(transaction, bench)
        }
    }

    private static func checkReply(_ reply: Reply, to peer: Peer, _ bench: Bench) {
        let settings = bench.loop.warden.settings
        #expect(!peer.isBroadcast)
        let isStranger = !peer.isLocal && !bench.loop.warden.policy.lists(peer.address)
        if settings.mode == .enforce, peer.transport == .udp { #expect(!isStranger) }
        guard settings.mode == .enforce, !peer.isLocal, case .success(let bytes) = reply.body else { return }
        for port in told(bytes) where port != 111 {
            #expect(port != 1111 && !settings.firewall.never.contains(port))
            let services = Transport.allCases.map { ServicePort($0, port) }
            let isOpen = services.contains { bench.kernel.opens($0, to: peer.address) }
            // A flush that was not reported yet is not the Warden's fault.
            #expect(
                isOpen || bench.kernel.wasFlushed
                    || isToldOnly(port, peer, bench.loop.warden.registry, bench.loop.warden.policy))
        }
    }

    /// The port in the result of GETPORT or GETADDR.
    private static func told(_ bytes: [UInt8]) -> [UInt16] {
        if bytes.count == 4 { return [UInt16(bytes[2]) << 8 | UInt16(bytes[3])].filter { $0 > 1 } }
        let text = String(decoding: bytes.dropFirst(4).prefix { $0 != 0 }, as: UTF8.self)
        return UniversalAddress(text).map { [$0.port] } ?? []
    }

    private static func isToldOnly(
        _ port: UInt16, _ peer: Peer, _ registry: Registry?, _ policy: Policy
    ) -> Bool {
        (registry?.registrations ?? []).contains { registration in
            guard let service = registration.service, service.port == port,
                case .permitted(_, .never) = policy.lookup(
                    registration.program, over: service.transport, by: peer.address)
            else { return false }
            return true
        }
    }

    private static func checkCommit(_ transaction: Transaction, _ bench: Bench) {
        for operation in transaction.operations {
            switch operation {
            case .guardPort(let service): #expect(![22, 111, 4045].contains(service.port))
            case .issue(let key, _, _, _), .issueNew(let key, _, _):
                #expect(![22, 111, 4045].contains(key.service.port))
            // At port 111, the shield admits the clients that policy names.
            case .addStanding(let key): #expect(![22, 4045].contains(key.service.port))
            case .remember(let key, _, _): #expect(![22, 111, 4045].contains(key.service.port))
            case .makeTable, .adoptTable, .deleteTable, .unguardPort, .revoke, .removeStanding, .replaceStanding,
                .addCallers, .removeCallers, .quarantine, .release, .forget, .shield, .unshield:
                break
            }
        }
        #expect(
            bench.kernel.granted.keys.count { $0.client.isIPv4 } <= bench.loop.warden.settings.limits.grants
                || !bench.loop.warden.gate.isQuiet)
    }
}
