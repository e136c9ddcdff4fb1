import Addresses
import Calls
import Clock
import Configuration
import Firewall
import ONCRPC
import Policy
import Portmapper
import Warden

/// A Warden with an rpcbind, listeners and a kernel that answer at once: only its own work takes time.
struct Core: ~Copyable {
    var warden: Warden
    private var now = Instant(nanoseconds: 1_000_000_000_000)
    private var actions: [Action] = []
    private let registry: [RPCB]
    private var dump: [UInt8]
    private(set) var replies = 0

    init(_ policy: Policy, programs: Int = 20, limits change: (inout Settings.Limits) -> Void = { _ in }) {
        var settings = Settings()
        settings.limits.callsPerSecond = 1_000_000
        settings.limits.strangersPerSecond = 0
        settings.limits.grants = 1_000_000
        settings.quarantine = nil
        change(&settings.limits)
        registry = registrations(programs)
        dump = PortmapperResult.registrations(registry).encoded
        warden = Warden(
            settings: settings, policy: policy, names: ProgramNames(etcRPC: ""), trustedOwners: ["superuser"])
        warden.tableMissing(at: now)
        finish { $0.timeAdvanced(to: $1, into: &$2) }
    }

    mutating func receive(_ bytes: UnsafeRawBufferPointer, from peer: Peer) {
        now = now + .microseconds(10)
        finish { warden, now, actions in
            warden.callReceived(IncomingCall(decoding: bytes, from: peer), at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
    }

    private mutating func finish(_ event: (inout Warden, Instant, inout [Action]) -> Void) {
        event(&warden, now, &actions)
        var next = 0
        while next < actions.count {
            let action = actions[next]
            next += 1
            perform(action)
            if next == actions.count { warden.flush(at: now, into: &actions) }
        }
        actions.removeAll(keepingCapacity: true)
    }

    private mutating func perform(_ action: Action) {
        switch action {
        case .sendReply(let reply, _):
            use(reply.encoded)
            replies += 1
        case .ask(let question, _): warden.answered(question, with: answer(question), at: now, into: &actions)
        case .inspectListeners(let services, let look):
            var states: [ServicePort: ListenerState] = [:]
            for service in services { states[service] = ListenerState(ipv4: true, ipv6: true) }
            warden.listenersInspected(look, states, at: now, into: &actions)
        case .commit: warden.committed(nil, at: now, into: &actions)
        case .callServices, .askClient, .closeConnection, .inspectOwner, .inspectGrants, .cutFlows, .audit, .tellFleet:
            break
        }
    }

    // Mutating, though it changes nothing: otherwise the core is copied.
    private mutating func answer(_ question: Question) -> Result<RpcbindAnswer, RpcbindFailure> {
        guard case .port(let mapping) = question else {
            var decoder = ListingDecoder(trusted: ["superuser"])
            dump.withUnsafeBytes { decoder.feed($0) }
            return decoder.result.map { .success(.registry($0)) } ?? .failure(.refused("no listing"))
        }
        let index = Int(mapping.program.rawValue - 100_003) / 2
        return .success(.port(UInt32(80 + index >> 8) << 8 | UInt32(index & 255)))
    }
}
