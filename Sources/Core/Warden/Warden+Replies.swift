import Addresses
import AuditTrail
import Calls
import Clock
import ONCRPC
import Policy
import Portmapper

extension PortmapperResult {
    /// False for the answers that rpcbind gives to the lookup of an unregistered program.
    fileprivate var isRegistered: Bool {
        switch self {
        case .port(let port): port != 0
        case .address(let address): !address.isEmpty
        case .void, .boolean, .mappings, .registrations, .addressList: true
        }
    }
}

extension Warden {
    /// Sends the reply of a permitted call, and audits the call.
    mutating func finish(
        _ request: Exchange.Request, _ result: PortmapperResult, at now: Instant, into actions: inout [Action]
    ) {
        finish(request, encoded(result), isRegistered: result.isRegistered, at: now, into: &actions)
    }

    /// Calls that share an answer mostly get the same port, so the last encoding is kept.
    private mutating func encoded(_ result: PortmapperResult) -> [UInt8] {
        guard case .port(let port) = result else { return result.encoded }
        if lastPort.port != port { lastPort = (port, result.encoded) }
        return lastPort.results
    }

    /// - Parameter results: the procedure's results, as XDR.
    mutating func finish(
        _ request: Exchange.Request, _ results: consuming [UInt8], isRegistered: Bool, at now: Instant,
        into actions: inout [Action]
    ) {
        counters.permitted += 1
        let lifted = request.permission.liftedDenial
        let outcome = CallOutcome(
            lifted == nil ? .permitted : .observed, request.call, over: request.peer.transport, lifted)
        counters.outcomes[outcome, default: 0] += 1
        let byteCount = Reply.successHeaderBytes + results.count
        if lifted == nil || isHeard(request, byteCount) {
            actions.append(.sendReply(Reply(xid: request.xid, body: .success(results)), to: request.peer))
        }
        guard lifted == nil, admitsPermitted(request, at: now) else { return }
        var event = event(.permitted, request.call, request.peer, request.xid)
        event.rule = request.permission.rule
        if !isRegistered { event.detail = "not registered" }
        actions.append(.audit(event))
    }

    /// Counts a permitted call, and returns whether its event may be logged.
    private mutating func admitsPermitted(_ request: Exchange.Request, at now: Instant) -> Bool {
        let peer = request.peer
        switch settings.audit.permitted {
        case .all: return admitsEvent(.permitted, of: peer.address, over: peer.transport, at: now)
        case .none: noteEvent(.permitted)
        case .first:
            let key = FirstPermissions.Key(
                client: peer.address, program: request.call.subject?.program ?? .portmapper,
                over: Self.serviceTransport(of: request.call, askedOver: peer.transport),
                isListing: request.call.kind == .listing || request.call.procedureName == .getAddressList)
            guard firstPermissions.isDue(key, at: now) else {
                noteEvent(.permitted)
                return false
            }
            guard admitsEvent(.permitted, of: peer.address, over: peer.transport, at: now) else { return false }
            firstPermissions.told(key, at: now)
            return true
        }
        return false
    }

    /// Whether the reply may be sent: over UDP, a stranger that observe mode answers gets no reply longer than
    /// its call.
    private func isHeard(_ request: Exchange.Request, _ byteCount: Int) -> Bool {
        request.peer.transport == .tcp || byteCount <= request.byteCount || isKnown(request.peer)
    }

    /// rpcbind's answer about a program that isn't registered.
    static func notRegistered(_ call: PortmapperCall) -> PortmapperResult {
        switch call {
        case .getPort: .port(0)
        case .getAddress, .getVersionAddress: .address("")
        case .dump(.v2): .mappings([])
        case .dump: .registrations([])
        case .getAddressList: .addressList([])
        case .set, .unset, .setMapping, .unsetMapping: .boolean(false)
        case .null, .callIt, .broadcast, .indirect, .getTime, .universalToTransportAddress,
            .transportToUniversalAddress, .getStatistics:
            .void
        }
    }

    /// Denies an exchange that policy permitted, for a reason that was found later; observe mode lets it pass.
    mutating func deny(
        _ request: Exchange.Request, _ reason: DenialReason, answer: PortmapperResult? = nil, detail: String? = nil,
        at now: Instant, into actions: inout [Action]
    ) {
        let incoming = IncomingCall(
            peer: request.peer, xid: request.xid, byteCount: request.byteCount, content: .call(request.call))
        if settings.mode == .observe, reason.isLiftedByObserving, let answer {
            auditDenial(incoming, reason, detail: detail, isEnforced: false, at: now, into: &actions)
            var permission = request.permission
            permission.liftedDenial = reason
            return finish(request.with(permission), answer, at: now, into: &actions)
        }
        deny(incoming, reason, detail: detail, at: now, into: &actions)
    }

    mutating func deny(
        _ incoming: IncomingCall, _ reason: DenialReason, detail: String? = nil, isOwnDoing: Bool = true,
        at now: Instant, into actions: inout [Action]
    ) {
        counters.outcomes[incoming.outcome(.denied, reason), default: 0] += 1
        auditDenial(
            incoming, reason, detail: detail, isEnforced: true, isOwnDoing: isOwnDoing, at: now, into: &actions)
        switch reason {
        case .rate, .broadcast: refuse(incoming, with: .close, into: &actions)
        case .stranger, .noRule, .noList, .listOverUDP, .transport, .remoteRegistration, .remoteCall, .notServed,
            .untrustedOwner, .notListening, .neverPort, .grantsFull, .firewallFailed, .rpcbindDown:
            refuse(incoming, with: refusal(of: incoming), into: &actions)
        }
    }

    mutating func auditDenial(
        _ incoming: IncomingCall, _ reason: DenialReason, detail: String? = nil, isEnforced: Bool,
        isCounted: Bool = true, isOwnDoing: Bool = true, at now: Instant, into actions: inout [Action]
    ) {
        if isCounted { counters.denied[reason, default: 0] += 1 }
        if admitsEvent(.denied, of: incoming.peer.address, over: incoming.peer.transport, at: now) {
            var event = deniedEvent(incoming)
            event.reason = reason
            event.detail = detail
            event.isEnforced = isEnforced
            actions.append(.audit(event))
        }
        noteDenial(incoming, reason, isOwnDoing: isOwnDoing, at: now, into: &actions)
        if reason == .stranger || reason == .rate, isCounted, incoming.peer.transport == .udp, !isKnown(incoming.peer) {
            noteStranger(over: .udp, at: now, into: &actions)
        }
    }

    private func deniedEvent(_ incoming: IncomingCall) -> AuditEvent {
        switch incoming.content {
        case .call(let call): return event(.denied, call, incoming.peer, incoming.xid)
        case .undispatchable(let header, _):
            var event = event(.denied, nil, incoming.peer, incoming.xid)
            describe(header, in: &event)
            return event
        case .faulty: return event(.denied, nil, incoming.peer, incoming.xid)
        }
    }

    /// A message that can't be served: a client that a rule names gets the error that RFC 5531 asks for.
    mutating func malformed(
        _ incoming: IncomingCall, owed: Reply?, at now: Instant, into actions: inout [Action]
    ) {
        let isAnswered = isKnown(incoming.peer) || settings.mode == .observe
        if case .undispatchable = incoming.content, !isAnswered {
            return deny(incoming, .stranger, at: now, into: &actions)
        }
        counters.malformed += 1
        counters.outcomes[incoming.outcome(.malformed), default: 0] += 1
        var event = event(.malformed, nil, incoming.peer, incoming.xid)
        switch incoming.content {
        case .call: break
        case .undispatchable(let header, let fault):
            describe(header, in: &event)
            event.detail = "\(fault)"
        case .faulty(let fault): event.detail = "\(fault.name)"
        }
        audit(event, at: now, into: &actions)
        noteDenial(incoming, nil, at: now, into: &actions)
        if !isAnswered, incoming.peer.transport == .udp { noteStranger(over: .udp, at: now, into: &actions) }
        refuse(incoming, with: isAnswered ? owed.map { .reply($0.body) } ?? .close : .close, into: &actions)
    }

    /// A stream's records can't be followed any further: closes the connection.
    public mutating func recordRefused(
        _ peer: Peer, _ fault: RecordFault, at now: Instant, into actions: inout [Action]
    ) {
        counters.malformed += 1
        counters.outcomes[CallOutcome(.malformed, nil, over: peer.transport), default: 0] += 1
        var event = event(.malformed, nil, peer, 0)
        event.xid = nil
        event.detail = "\(fault)"
        audit(event, at: now, into: &actions)
        actions.append(.closeConnection(peer.channel))
    }

    /// The response to a denied call.
    private enum Refusal {
        case reply(Reply.Body)
        /// No reply over UDP; over TCP the connection is closed.
        case close
    }

    private func refusal(of incoming: IncomingCall) -> Refusal {
        guard isKnown(incoming.peer) else {
            return settings.denial.strangers == .authError ? .reply(.authError(.failed)) : .close
        }
        // RFC 1833, 2.2.5 and 3.2: no reply if the call can't be made. Over a stream, each call gets a reply.
        if case .call(let call) = incoming.content, incoming.peer.transport == .udp,
            call.procedureName == .callIt || call.procedureName == .broadcast
        {
            return .close
        }
        switch (settings.denial.refuse, incoming.content) {
        case (.silence, _): return .close
        case (.notRegistered, .call(let call)): return .reply(Self.notRegisteredBody(call))
        case (.authError, _), (.notRegistered, _): return .reply(.authError(.failed))
        }
    }

    /// The reply as if nothing were registered.
    private static func notRegisteredBody(_ call: PortmapperCall) -> Reply.Body {
        switch call.kind {
        // RFC 1833, 2.2.10: an error tells the caller that the program isn't registered.
        case .remote: .programUnavailable
        case .null, .unserved: .procedureUnavailable
        case .lookup, .listing, .registration: .success(notRegistered(call).encoded)
        }
    }

    /// Sends the refusal, or nothing; over UDP a refusal is never longer than the call.
    private func refuse(_ incoming: IncomingCall, with refusal: Refusal, into actions: inout [Action]) {
        switch (incoming.peer.transport, refusal) {
        case (_, .reply(let body)):
            let reply = Reply(xid: incoming.xid, body: body)
            guard incoming.peer.transport == .tcp || reply.encoded.count <= incoming.byteCount else { return }
            actions.append(.sendReply(reply, to: incoming.peer))
        case (.tcp, .close): actions.append(.closeConnection(incoming.peer.channel))
        case (.udp, .close): break
        }
    }

    func event(
        _ kind: AuditEvent.Kind, _ call: PortmapperCall?, _ peer: Peer, _ xid: UInt32
    ) -> AuditEvent {
        var event = AuditEvent(kind)
        event.client = peer.address
        event.port = peer.port
        event.transport = peer.transport
        event.xid = xid
        guard let call else { return event }
        event.procedure = call.procedureName.rawValue
        event.over = Self.serviceTransport(of: call, askedOver: peer.transport)
        // A call that names no other program concerns the portmapper itself.
        let subject = call.subject ?? (.portmapper, call.version.rawValue)
        event.program = subject.program
        event.version = subject.version
        event.programName = names.name(of: subject.program)
        return event
    }

    /// The transport that ``decide(_:from:)`` uses.
    private static func serviceTransport(of call: PortmapperCall, askedOver transport: Transport) -> Transport? {
        if case .getPort(let mapping) = call { return mapping.transport ?? transport }
        return call.kind == .lookup && call.procedureName != .getAddressList ? transport : nil
    }

    private func describe(_ header: CallHeader, in event: inout AuditEvent) {
        event.program = Program(header.program)
        event.programName = names.name(of: Program(header.program))
        event.version = header.version
        event.procedure = String(header.procedure)
    }
}
