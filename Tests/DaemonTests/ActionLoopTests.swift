import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import CoreSamples
import Firewall
import FleetRecords
import ONCRPC
import Policy
import Portmapper
import TestSupport
import Testing
import Warden

/// Shells that note what they are asked for, in its order.
private final class NotingShells: ActionShells {
    var now = Instant(nanoseconds: 1_000_000_000)
    var noted: [String] = []
    /// Transactions take the kernel long.
    var takesLong = false
    var failures: [CommitFailure] = []
    var listenersFail = false
    /// Called at each reply, as a server that reports at once that the connection is gone.
    var onReply: () -> Void = {}

    func send(_ reply: Reply, to peer: Peer) {
        noted.append("reply \(reply.xid)")
        onReply()
    }

    func closeConnection(_ id: ConnectionID) { noted.append("close \(id)") }
    func ask(_ question: Question, of server: ServerNumber) { noted.append("ask") }
    func askClient(_ question: ClientQuestion) { noted.append("ask a client") }
    func callServices(_ questions: [LivenessQuestion], of server: ServerNumber, look: Int) { noted.append("call") }

    func listeners(at services: Set<ServicePort>) -> [ServicePort: ListenerState]? {
        noted.append("look at \(services.sorted().map(\.description).joined(separator: " "))")
        guard !listenersFail else { return nil }
        return Dictionary(uniqueKeysWithValues: services.map { ($0, ListenerState(ipv4: true, ipv6: true)) })
    }

    func owner(of peer: Peer) -> UInt32? { 0 }

    func commit(_ transaction: Transaction) -> CommitResult? {
        noted.append("commit")
        if takesLong { return nil }
        return failures.isEmpty ? .done : .failed(failures.removeFirst())
    }

    func lifetimes(of keys: [GrantKey]) -> [GrantKey: Duration] {
        noted.append("lifetimes of \(keys.count)")
        return [:]
    }

    func cut(_ clients: [ServicePort: Set<AddressRange>]) {
        let each = clients.sorted { $0.key < $1.key }.map { "\($0.value.count) \($0.key)" }
        noted.append("cut " + each.joined(separator: ", "))
    }

    func write(_ event: AuditEvent) { noted.append(event.kind.rawValue) }
    func tellFleet(_ message: DaemonMessage) {}

    func take() -> [String] {
        defer { noted = [] }
        return noted
    }
}

@Suite("the loop of events and actions") struct ActionLoopTests {
    private let shells = NotingShells()
    private let core: ActionLoop<NotingShells>

    init() {
        let settings = Settings().with { $0.audit.permitted = .none }
        core = ActionLoop(
            Warden(
                settings: settings, policy: Policy(rules: [.sample(from: ["10.1.0.0/16"])]), names: .wellKnown,
                trustedOwners: ["superuser"]), shells: shells)
        core.handle { warden, now, _ in warden.tableMissing(at: now) }
        core.handle { $0.timeAdvanced(to: $1, into: &$2) }
        answer(.registry, .registry(Listing(.typical)))
        _ = shells.take()
    }

    private func answer(_ question: Question, _ answer: RpcbindAnswer) {
        core.handle { $0.answered(question, with: .success(answer), at: $1, into: &$2) }
        core.handle { $0.flush(at: $1, into: &$2) }
    }

    private func lookUp(_ xid: UInt32, from client: String = "10.1.2.3") {
        let call = PortmapperCall.port(of: .mountd)
        let incoming = IncomingCall(
            peer: .from(client, .tcp, channel: UInt64(xid)), xid: xid, byteCount: 56, content: .call(call))
        core.handle { $0.callReceived(incoming, at: $1, into: &$2) }
        answer(.port(of: .mountd), .port(20048))
    }

    @Test("the reply to a look-up with a new grant leaves after the commit, and what it needed came before")
    func order() {
        lookUp(7)
        #expect(shells.take() == ["ask", "look at tcp/20048", "commit", "granted", "reply 7"])
        lookUp(8)
        #expect(shells.take() == ["ask", "reply 8"])
    }

    @Test("an event that an action causes is handled after the actions before it, not inside")
    func nested() {
        shells.onReply = { [core] in
            core.handle {
                $0.recordRefused(.from("10.1.2.3", .tcp, channel: 9), .tooLong(bytes: 1, limit: 0), at: $1, into: &$2)
            }
        }
        lookUp(7)
        #expect(shells.take() == ["ask", "look at tcp/20048", "commit", "granted", "reply 7", "malformed", "close 9"])
    }

    @Test("while a transaction takes long, calls that need nothing of the kernel are answered, and the rest waits")
    func longCommit() {
        lookUp(1)
        _ = shells.take()
        shells.takesLong = true
        lookUp(2, from: "10.1.2.4")
        #expect(shells.take() == ["ask", "look at tcp/20048", "commit"] && core.isCommitting)
        lookUp(3)
        #expect(shells.take() == ["ask", "reply 3"])
        // The first grant's life ends; the kernel isn't asked now.
        shells.now = shells.now + .seconds(2 * 86_400)
        core.handle { $0.timeAdvanced(to: $1, into: &$2) }
        #expect(!shells.take().contains { $0.hasPrefix("lifetimes") })
        shells.takesLong = false
        core.committed(.done)
        #expect(!core.isCommitting)
        let noted = shells.take()
        #expect(noted.contains("reply 2") && noted.contains("lifetimes of 1"))
    }

    @Test("flows to one port are cut in one request, after the actions of the event; not during a long transaction")
    func cuts() {
        for client in ["10.1.2.3", "10.1.2.4", "10.1.2.5"] { lookUp(1, from: client) }
        _ = shells.take()
        shells.takesLong = true
        let settings = core.warden.settings
        core.handle { $0.policyReplaced(PolicySet(Policy(rules: [])), settings: settings, at: $1, into: &$2) }
        #expect(shells.take() == ["commit"])
        shells.takesLong = false
        core.committed(.done)
        #expect(shells.take() == ["revoked", "revoked", "revoked", "cut 3 tcp/20048"])
    }

    @Test("flows that are to be cut during a long transaction are cut at its end, also if nothing else follows then")
    func cutLater() {
        shells.takesLong = true
        let settings = core.warden.settings
        let rules = [Rule.sample(from: ["10.1.0.0/16"], open: .always)]
        core.handle {
            $0.policyReplaced(PolicySet(Policy(rules: rules)), settings: settings, at: $1, into: &$2)
            $0.flush(at: $1, into: &$2)
        }
        core.handle { _, _, actions in
            actions.append(.cutFlows(AddressRange(.v4(1), .v4(1)), ServicePort(.udp, 700)))
        }
        #expect(shells.take() == ["commit"])
        shells.takesLong = false
        core.committed(.done)
        #expect(shells.take() == ["cut 1 udp/700"])
    }

    @Test("flows to many ports are cut in one request, for the kernel searches all its flows for each")
    func cutsManyPorts() {
        core.handle { _, _, actions in
            let client = AddressRange(.v4(1), .v4(1))
            actions += (1...UInt16(300)).map { .cutFlows(client, ServicePort(.udp, $0)) }
        }
        let cuts = shells.take().filter { $0.hasPrefix("cut") }
        #expect(cuts.map { $0.split(separator: ",").count } == [300])
    }

    @Test("a refused transaction is made anew before any call is refused")
    func refused() {
        shells.failures = [CommitFailure(errno: 2, message: "No such file or directory")]
        lookUp(7)
        #expect(shells.take() == ["ask", "look at tcp/20048", "commit", "commit", "granted", "reply 7"])
    }
}
