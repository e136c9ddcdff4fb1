import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import Firewall
import FleetRecords
import ONCRPC
import Policy
import Portmapper
import Warden

/// A cluster boots at once: the Warden against clients, rpcbind and kernel, all in virtual time, identical at each
/// run.
///
/// Uses only the public interface of the Warden: Benchmarks runs these same files, ten times as large, in a
/// release build.
final class BootStorm: ActionShells {
    let plan: StormPlan
    private(set) var outcome = StormOutcome()
    private(set) var time: Duration = .zero
    private lazy var loop = ActionLoop(makeWarden(), shells: self)
    private(set) var kernel = StormKernel()
    private var clients: [StormClient]
    private var queue = StormQueue<Event>()
    private var random: StormChance
    private var socket: [(bytes: [UInt8], peer: Peer)] = []
    private var freeAt: Duration = .zero
    private var isRunPlanned = false
    private var rpcbindFreeAt: Duration = .zero
    /// Questions that rpcbind hasn't answered yet.
    private var asked: Set<Question> = []
    private var unserved: Int

    private enum Event {
        case boots(client: Int)
        case arrives([UInt8], Peer)
        case daemonRuns
        case answers(Question, Result<RpcbindAnswer, RpcbindFailure>)
        case replies(Reply, client: Int)
        case waited(client: Int, xid: UInt32, Duration)
        case ticks
        case strangersSend
    }

    private static let tick: Duration = .milliseconds(50)
    private static let callsAtOnce = 64
    private static let beginning = Instant(nanoseconds: 1_000_000_000_000)
    private static let server = UniversalAddress(host: .v4(0x0a00_0001), port: 111)

    init(_ plan: StormPlan) {
        self.plan = plan
        random = StormChance(state: plan.seed)
        clients = (0..<plan.clients).map(StormClient.init)
        unserved = plan.clients
        handle { warden, now, _ in warden.tableMissing(at: now) }
        handle { $0.flush(at: $1, into: &$2) }
        queue.insert(.ticks, at: .zero)
        queue.insert(.strangersSend, at: .zero)
        for number in clients.indices {
            let spread = random.next(below: UInt64(plan.bootsWithin.nanoseconds))
            queue.insert(.boots(client: number), at: .milliseconds(100) + .nanoseconds(Int64(spread)))
        }
    }

    private func makeWarden() -> Warden {
        Warden(
            settings: Settings().with(grants: max(65_536, 8 * plan.clients)), policy: Self.policy(plan.clients),
            names: ProgramNames(etcRPC: ""), trustedOwners: ["superuser"])
    }

    private static func policy(_ clients: Int) -> Policy {
        guard let nodes = Prefix(StormPlan.client(0), length: 16), clients <= 65_536 else {
            preconditionFailure("too many clients")
        }
        return Policy(rules: [
            Rule(
                name: "nodes", location: Location(file: "policy.yaml", line: 1, column: 5), from: [.prefix(nodes)],
                to: [.nfs, .mountd, .nlockmgr, .status])
        ])
    }

    var now: Instant { Self.beginning + time }

    // MARK: Events

    func run() {
        while unserved > 0, time < StormPlan.endsAfter { step() }
        if unserved > 0 { violated("\(unserved) clients were never served") }
        outcome.seconds = Double(time.nanoseconds) / 1e9
        // Waits for the datagrams that are still on their way.
        let end = time + .seconds(5)
        while time < end { step() }
        checkEnd()
        outcome.waits.sort()
        outcome.commits = loop.warden.counters.commits
        outcome.grants = loop.warden.grantCount
    }

    private func step() {
        guard let (next, event) = queue.popFirst() else { preconditionFailure("ticks never end") }
        time = next
        switch event {
        case .boots(let number): ask(number)
        case .arrives(let bytes, let peer): arrive(bytes, peer)
        case .daemonRuns: runDaemon()
        case .answers(let question, let answer):
            asked.remove(question)
            handle { $0.answered(question, with: answer, at: $1, into: &$2) }
            handle { $0.flush(at: $1, into: &$2) }
        case .replies(let reply, let number): hear(reply, number)
        case .waited(let number, let xid, let patience): askAgain(number, xid, patience)
        case .ticks:
            handle { $0.timeAdvanced(to: $1, into: &$2) }
            queue.insert(.ticks, at: time + Self.tick)
        case .strangersSend: sendStrangers()
        }
        checkBounds()
    }

    // MARK: Clients

    private func ask(_ number: Int) {
        clients[number].begin(at: time)
        send(number)
        wait(number, StormPlan.patience)
    }

    /// Adds jitter: the clients' clocks differ.
    private func wait(_ number: Int, _ patience: Duration) {
        let jitter = patience * Int(random.next(below: 256)) / 1024
        queue.insert(.waited(client: number, xid: clients[number].xid, patience), at: time + patience + jitter)
    }

    private func askAgain(_ number: Int, _ xid: UInt32, _ patience: Duration) {
        guard clients[number].waits(for: xid) else { return }
        outcome.retransmitted += 1
        send(number)
        wait(number, min(patience * 2, StormPlan.patienceMax))
    }

    private func send(_ number: Int) {
        transmit(clients[number].message, from: StormPlan.client(number), isLossy: true)
    }

    private func transmit(_ bytes: [UInt8], from client: IPAddress, isLossy: Bool) {
        outcome.sent += 1
        guard !(isLossy && isLost()) else { return }
        let peer = Peer(address: client, port: 800, transport: .udp, asked: Self.server, channel: 1, interface: 2)
        queue.insert(.arrives(bytes, peer), at: time + delay())
    }

    private func isLost() -> Bool {
        let isLost = random.next(below: 100) < UInt64(plan.lossPercent)
        if isLost { outcome.lost += 1 }
        return isLost
    }

    private func hear(_ reply: Reply, _ number: Int) {
        guard clients[number].waits(for: reply.xid) else { return }
        guard case .success(let bytes) = reply.body else {
            outcome.refused += 1
            clients[number].isWaiting = false
            queue.insert(.boots(client: number), at: time + StormPlan.pause)
            return
        }
        outcome.waits.append(Double((time - clients[number].askedAt).nanoseconds) / 1e6)
        clients[number].served(StormPlan.told(bytes))
        if clients[number].isDone { unserved -= 1 } else { ask(number) }
    }

    private func sendStrangers() {
        let period: Duration = .milliseconds(10)
        for _ in 0..<plan.strangersPerSecond / 100 {
            let stranger = StormPlan.stranger(Int(random.next(below: 1 << 16)))
            transmit(clients[0].message(xid: 1), from: stranger, isLossy: false)
        }
        queue.insert(.strangersSend, at: time + period)
    }

    // MARK: The daemon

    private func arrive(_ bytes: [UInt8], _ peer: Peer) {
        guard kernel.lets(peer.address, at: time) else {
            outcome.strangersDropped += 1
            if let number = number(of: peer.address) { violated("the kernel dropped client \(number)") }
            return
        }
        guard socket.count < plan.socketDatagramsMax else {
            outcome.overflowed += 1
            return
        }
        socket.append((bytes, peer))
        planRun()
    }

    private func planRun() {
        guard !isRunPlanned, !socket.isEmpty else { return }
        isRunPlanned = true
        queue.insert(.daemonRuns, at: max(time, freeAt))
    }

    private func runDaemon() {
        isRunPlanned = false
        let batch = socket.prefix(Self.callsAtOnce)
        socket.removeFirst(batch.count)
        freeAt = time
        for (bytes, peer) in batch {
            freeAt += plan.callCost
            if let number = number(of: peer.address) { clients[number].arrived(at: time) }
            let incoming = bytes.withUnsafeBytes { IncomingCall(decoding: $0, from: peer) }
            handle { $0.callReceived(incoming, at: $1, into: &$2) }
        }
        handle { $0.flush(at: $1, into: &$2) }
        planRun()
    }

    private func handle(_ event: (inout Warden, Instant, inout [Action]) -> Void) { loop.handle(event) }

    func listeners(at services: Set<ServicePort>) -> [ServicePort: ListenerState]? {
        let states = services.map { service in
            let listens = plan.listens(service.port, at: time)
            return (service, ListenerState(ipv4: listens, ipv6: listens))
        }
        return Dictionary(uniqueKeysWithValues: states)
    }

    func commit(_ transaction: Transaction) -> CommitResult? {
        freeAt = max(freeAt, time) + plan.commitCost + plan.operationCost * transaction.operations.count
        kernel.commit(transaction, at: time)
        check(transaction)
        return .done
    }

    func lifetimes(of keys: [GrantKey]) -> [GrantKey: Duration] {
        let left = keys.filter(kernel.grants.contains).map { ($0, Duration.seconds(3600)) }
        return Dictionary(uniqueKeysWithValues: left)
    }

    func write(_ event: AuditEvent) { check(event) }
    func tellFleet(_ message: DaemonMessage) {}

    // The storm has no TCP, no caller on this host, and no flows.
    func closeConnection(_ id: ConnectionID) {}
    func owner(of peer: Peer) -> UInt32? { nil }
    func cut(_ clients: [ServicePort: Set<AddressRange>]) {}

    func send(_ reply: Reply, to peer: Peer) {
        guard let number = number(of: peer.address) else { return violated("stranger \(peer.address) was answered") }
        check(reply, to: number)
        guard !isLost() else { return }
        queue.insert(.replies(reply, client: number), at: max(time, freeAt) + delay())
    }

    /// The delay of network and client; a node is no faster than a server.
    private func delay() -> Duration {
        plan.networkDelay + .microseconds(Int64(random.next(below: 1000)))
    }

    private func number(of client: IPAddress) -> Int? {
        guard case .v4(let bits) = client, case .v4(let first) = StormPlan.client(0),
            (first..<first + UInt32(plan.clients)).contains(bits)
        else { return nil }
        return Int(bits - first)
    }

    // MARK: rpcbind

    /// rpcbind answers one question after the other; a question that waits longer than the time-out gets no
    /// answer.
    func askClient(_ question: ClientQuestion) {}
    func callServices(_ questions: [LivenessQuestion], of server: ServerNumber, look: Int) {}

    func ask(_ question: Question, of server: ServerNumber) {
        if !asked.insert(question).inserted { violated("\(question) was asked twice at once") }
        let begins = plan.rpcbindBegins(max(time + .microseconds(15), rpcbindFreeAt))
        rpcbindFreeAt = begins + plan.rpcbindCost
        guard rpcbindFreeAt - time <= loop.warden.settings.rpcbind.timeout else {
            return queue.insert(
                .answers(question, .failure(.timedOut)), at: time + loop.warden.settings.rpcbind.timeout)
        }
        let looks = plan.stalls.first?.contains(time) == true ? time : begins
        queue.insert(.answers(question, answer(question, at: looks)), at: rpcbindFreeAt)
    }

    private func answer(_ question: Question, at begins: Duration) -> Result<RpcbindAnswer, RpcbindFailure> {
        switch question {
        case .registry: .success(.registry(Listing(plan.registrations(at: begins))))
        case .port(let mapping): .success(.port(UInt32(plan.port(of: mapping.program, at: begins))))
        case .registration: .failure(.refused("not asked in a storm"))
        }
    }

    // MARK: Invariants

    private func violated(_ what: String) {
        if outcome.violations.count < 20 { outcome.violations.append("\(time): \(what)") }
    }

    /// Calls under way are bounded (invariant 9): those of other hosts, and the reserve for this host's own.
    private func checkBounds() {
        let underWay = loop.warden.gauges(at: now).callsUnderWay
        outcome.mostUnderWay = max(outcome.mostUnderWay, underWay)
        if underWay > 16_384 { violated("\(underWay) calls are under way") }
    }

    /// The port is open before the answer (4); no answer is older than its question; at most one answer for each
    /// datagram.
    private func check(_ reply: Reply, to number: Int) {
        guard clients[number].xid == reply.xid else { return }
        clients[number].replies += 1
        if clients[number].replies > clients[number].arrivals { violated("client \(number) was answered unasked") }
        guard case .success(let bytes) = reply.body else { return }
        let (program, transport) = clients[number].lookup
        let port = StormPlan.told(bytes)
        let ports = [clients[number].arrivedAt ?? time, time].map { plan.port(of: program, at: $0) }
        guard ports.contains(port) else { return violated("client \(number) was told \(port), registered: \(ports)") }
        let key = GrantKey(client: StormPlan.client(number), service: ServicePort(transport, port))
        if !kernel.grants.contains(key) { violated("\(key) was told, but is not open") }
    }

    /// Nodes are denied only while rpcbind is silent, or for a service that restarted since the call.
    private func check(_ event: AuditEvent) {
        guard event.kind == .denied, let client = event.client, let number = number(of: client) else { return }
        let arrivedAt = clients[number].arrivedAt ?? time
        if event.reason == .notListening, arrivedAt < plan.movesAt { return }
        if event.reason != .rpcbindDown { violated("\(client) was denied: \(event.detail ?? "no detail")") }
    }

    /// Only named clients get grants (1), and no node is put in quarantine because of UDP calls (8).
    private func check(_ transaction: Transaction) {
        for operation in transaction.operations {
            switch operation {
            case .issue(let key, _, _, _), .issueNew(let key, _, _):
                guard case .permitted = loop.warden.policy.lookup(.nfs, over: .tcp, by: key.client) else {
                    violated("\(key) was issued to a stranger")
                    continue
                }
            case .quarantine(let client, _) where loop.warden.policy.lists(client):
                violated("\(client) was quarantined")
            default: break
            }
        }
    }

    /// The open ports are those that were told and are registered (6), and no client waits.
    private func checkEnd() {
        if loop.warden.gauges(at: now).callsUnderWay > 0 { violated("calls are still under way") }
        if !asked.subtracting([.registry]).isEmpty { violated("rpcbind still owes \(asked)") }
        if kernel.grants.count != loop.warden.grantCount { violated("the ledger differs from the kernel") }
        if loop.warden.counters.denied[.rate, default: 0] > 0 { violated("clients were denied for their rate") }
        for key in kernel.grants where !plan.listens(key.service.port, at: time) {
            violated("\(key) is open, and nobody is there")
        }
        for (number, client) in clients.enumerated() {
            for (place, port) in client.ports.enumerated() {
                let lookup = client.lookup(place)
                guard port == plan.port(of: lookup.program, at: time) else { continue }
                let key = GrantKey(client: StormPlan.client(number), service: ServicePort(lookup.transport, port))
                if !kernel.grants.contains(key) { violated("\(key) was told, and is closed") }
            }
        }
    }
}

extension Settings {
    /// Settings with room for the storm's grants; all other settings are the defaults.
    fileprivate func with(grants: Int) -> Settings {
        var settings = self
        settings.limits.grants = grants
        return settings
    }
}
