import Addresses
import AuditTrail
import Calls
import Clock
import Exchanges
import Firewall
import Gate
import ONCRPC
import Policy
import Portmapper

/// A server behind this gateway asks the portmapper of a client, to call it back: lockd about a lock, sm-notify after a
/// reboot. The client's portmapper answers; the Warden decides, and opens the client's port for the server.
extension Warden {
    /// What a server may ask its clients for.
    private static let calledBack: Set<Program> = [.nlockmgr, .status]

    /// Decides by policy alone whether the call may go on.
    /// - Parameter asked: the address that is asked, or from which a server calls back.
    mutating func decide(
        _ call: PortmapperCall, from peer: Peer, _ asked: ServerID
    ) -> Result<Permission, DenialReason> {
        guard asked.isCallback else { return servers.rules(about: servers.number(of: asked)).decide(call, from: peer) }
        let permission = Permission(rule: callbackRule(of: asked), open: .onLookup)
        switch call {
        case .null: return .success(permission)
        case .getPort, .getAddress, .getVersionAddress:
            guard let program = call.subject?.program, Self.calledBack.contains(program),
                servers.permitsCallback(of: peer.asked.host, by: asked)
            else { return .failure(.noRule) }
            return .success(permission)
        case .set, .unset, .setMapping, .unsetMapping: return .failure(.remoteRegistration)
        case .callIt, .broadcast, .indirect: return .failure(.remoteCall)
        case .dump, .getAddressList, .getTime, .universalToTransportAddress, .transportToUniversalAddress,
            .getStatistics:
            return .failure(.notServed)
        }
    }

    private func callbackRule(of caller: ServerID) -> String? {
        servers.name(of: caller).map(AuditEvent.callbackRule)
    }

    /// Whether the peer is on this host, named by a rule, or a server that calls a client back.
    mutating func isKnown(_ peer: Peer) -> Bool {
        peer.isLocal || servers.lists(peer.address) || servers.asked(by: peer).isCallback
    }

    /// Asks the client's portmapper.
    mutating func beginCallback(_ request: Exchange.Request, at now: Instant, into actions: inout [Action]) {
        let transport = request.peer.transport
        guard
            let question = request.lookUp.flatMap({ ClientQuestion($0, of: request.client, over: transport) })
        else { return finish(request, request.call.notRegistered, at: now, into: &actions) }
        guard let id = beginExchange(request, at: now, into: &actions) else { return }
        switch exchanges.ask(question, for: id, at: now) {
        case true?: actions.append(.askClient(question))
        case false?: break
        case nil: deny(id, .rate, detail: "too many questions to clients' portmappers", at: now, into: &actions)
        }
    }

    /// A client's portmapper answered with a port, or with 0 if the service isn't registered; or it failed to answer.
    public mutating func clientAnswered(
        _ question: ClientQuestion, with answer: Result<UInt16, RpcbindFailure>, at now: Instant,
        into actions: inout [Action]
    ) {
        let (served, isAskedAgain) = exchanges.answered(question, at: now)
        if isAskedAgain { actions.append(.askClient(question)) }
        for id in served {
            guard let request = exchanges.request(of: id) else { continue }
            switch answer {
            case .failure(let failure):
                deny(id, .rpcbindDown, detail: "the client: \(failure)", at: now, into: &actions)
            case .success(0): complete(id, request.call.notRegistered, at: now, into: &actions)
            case .success(let port):
                let service = ServicePort(question.serviceTransport, port, at: request.asked)
                openCallback(id, request, question.program, at: service, now, into: &actions)
            }
        }
        flush(at: now, into: &actions)
    }

    private mutating func openCallback(
        _ id: Exchange.ID, _ request: Exchange.Request, _ program: Program, at service: ServicePort, _ now: Instant,
        into actions: inout [Action]
    ) {
        let result = request.result(at: service, nil)
        guard !rules.spares(service) else {
            return deny(id, .neverPort, answer: result, detail: "\(service)", at: now, into: &actions)
        }
        let opening = ServiceOpening(
            program: program, port: service, rule: request.permission.rule, open: request.permission.open)
        exchanges.change(id) { ($0.result, $0.services) = (result, [opening]) }
        open(id, at: now, into: &actions)
    }

    /// Whether policy lets the server call the client back, or an earlier run opened it by a host name that isn't
    /// resolved yet.
    func mayCallBack(_ key: GrantKey) -> Bool {
        let pending = servers.rules(about: servers.number(of: key.service.server)).pending
        return servers.permitsCallback(of: key.client, by: key.service.server)
            || gate.isUnjudged(key)
                && Transport.allCases.contains { pending.mayPermit(.nlockmgr, over: $0, by: key.client) }
    }

    /// The event with the server that is asked, or that asks. A callback is about the client, as all that concerns
    /// its ports; the detail tells the direction.
    mutating func located(_ event: AuditEvent, _ peer: Peer) -> AuditEvent {
        let asked = servers.asked(by: peer)
        var event = event
        event.server = servers.name(of: asked)
        guard asked.isCallback, let name = event.server else { return event }
        event.client = peer.asked.host
        event.port = nil
        event.rule = AuditEvent.callbackRule(of: name)
        event.detail = (["asked by \(name) at \(peer.address)"] + [event.detail].compactMap(\.self)).joined(
            separator: "; ")
        return event
    }
}
