import Addresses
import AuditTrail
import Calls
import Clock
import Exchanges
import Firewall
import Journal
import ONCRPC
import Portmapper
import Watch

extension Warden {
    /// Ends the exchange with a denial.
    mutating func deny(
        _ id: Exchange.ID, _ reason: DenialReason, answer: PortmapperResult? = nil, detail: String? = nil,
        at now: Instant, into actions: inout [Action]
    ) {
        guard let request = end(id) else { return }
        let incoming = IncomingCall(
            peer: request.peer, xid: request.xid, byteCount: request.byteCount, content: .call(request.call))
        guard rules.settings.mode == .observe, reason.isLiftedByObserving, let answer else {
            return deny(incoming, reason, detail: detail, at: now, into: &actions)
        }
        auditDenial(incoming, reason, detail: detail, isEnforced: false, at: now, into: &actions)
        var permission = request.permission
        permission.liftedDenial = reason
        finish(request.with(permission), answer, at: now, into: &actions)
    }

    mutating func deny(
        _ incoming: IncomingCall, _ reason: DenialReason, detail: String? = nil, isOwnDoing: Bool = true,
        at now: Instant, into actions: inout [Action]
    ) {
        journal.counters.outcomes[incoming.outcome(.denied, reason), default: 0] += 1
        auditDenial(
            incoming, reason, detail: detail, isEnforced: true, isOwnDoing: isOwnDoing, at: now, into: &actions)
        // A client that doesn't answer is silent towards the server.
        let isSilent =
            reason == .rate || reason == .broadcast
            || reason == .rpcbindDown && servers.asked(by: incoming.peer).isCallback
        refuse(incoming, with: isSilent ? nil : refusal(of: incoming), into: &actions)
    }

    /// - Parameter isOwnDoing: whether the client caused the denial.
    mutating func auditDenial(
        _ incoming: IncomingCall, _ reason: DenialReason, detail: String? = nil, isEnforced: Bool,
        isOwnDoing: Bool = true, at now: Instant, into actions: inout [Action]
    ) {
        journal.counters.denied[reason, default: 0] += 1
        logDenial(incoming, reason, detail, isEnforced, isOwnDoing: isOwnDoing, at: now, into: &actions)
        if reason == .stranger || reason == .rate { noteStranger(incoming.peer, at: now, into: &actions) }
    }

    private mutating func logDenial(
        _ incoming: IncomingCall, _ reason: DenialReason, _ detail: String?, _ isEnforced: Bool,
        isOwnDoing: Bool = true, at now: Instant, into actions: inout [Action]
    ) {
        let peer = incoming.peer
        let client = servers.asked(by: peer).isCallback ? peer.asked.host : peer.address
        if admits(.denied, of: client, over: peer.transport, isOfRate: reason == .rate, at: now) {
            var event = AuditEvent(.denied, incoming)
            event.reason = reason
            event.detail = detail
            event.isEnforced = isEnforced
            actions.append(.audit(located(event, peer).named(by: journal.names)))
        }
        judge(incoming, reason, isOwnDoing: isOwnDoing, at: now, into: &actions)
    }

    /// A call was denied, or is malformed: its source may have to be quarantined.
    private mutating func judge(
        _ incoming: IncomingCall, _ reason: DenialReason?, isOwnDoing: Bool = true, at now: Instant,
        into actions: inout [Action]
    ) {
        // Policy vouches for a server that calls its clients back: it is never quarantined.
        guard !incoming.peer.isLocal, !servers.asked(by: incoming.peer).isCallback else { return }
        let consequences = watch.denied(
            incoming, reason, isOwnDoing: isOwnDoing, isListed: servers.lists(incoming.peer.address), at: now)
        follow(consequences, at: now, into: &actions)
    }

    mutating func follow(_ consequences: [Watch.Consequence], at now: Instant, into actions: inout [Action]) {
        for consequence in consequences {
            switch consequence {
            case .log(let event): audit(event, at: now, into: &actions)
            case .record(let event):
                journal.note(event.kind)
                actions.append(.audit(event))
            case .quarantine(let client, let end): gate.quarantine(client, until: end)
            case .release(let client): gate.release(client)
            case .tell(let client, let quarantine):
                actions.append(.tellFleet(.quarantined(client, record(quarantine, at: now))))
            case .tellRelease(let client): actions.append(.tellFleet(.released(client)))
            }
        }
    }

    /// A stranger called over UDP. If too many do, the kernel drops them for a while.
    private mutating func noteStranger(_ peer: Peer, at now: Instant, into actions: inout [Action]) {
        guard peer.transport == .udp, !isKnown(peer) else { return }
        shieldIfNeeded(over: .udp, at: now, into: &actions)
    }

    mutating func shieldIfNeeded(over transport: Transport, at now: Instant, into actions: inout [Action]) {
        guard let (end, event) = watch.strangerCame(over: transport, at: now) else { return }
        // The same transaction lets the clients through that may ask.
        desireElements()
        gate.shield(transport, until: end)
        audit(event, at: now, into: &actions)
        flush(at: now, into: &actions)
    }

    /// The kernel dropped a stranger's packet; it reports a sample of such packets.
    mutating func strangerDropped(_ packet: DroppedPacket, at now: Instant, into actions: inout [Action]) {
        watch.noteDropped()
        let peer = Peer(
            address: packet.client, port: packet.clientPort, transport: packet.service.transport,
            asked: UniversalAddress(
                host: packet.client.isIPv4 ? .v4(0) : .v6(0), port: packet.service.port), channel: 0)
        guard packet.service.transport == .udp else {
            var event = AuditEvent(.denied, nil, from: peer, xid: nil)
            event.reason = .stranger
            event.detail = Self.droppedByKernel
            event.server = servers.name(of: packet.service.server)
            // Nothing proves its source: it takes none of the room of calls over TCP.
            guard admits(.denied, of: packet.client, over: .udp, at: now) else { return }
            return actions.append(.audit(event))
        }
        let incoming = packet.payload.withUnsafeBytes { IncomingCall(decoding: $0, from: peer) }
        // The packet is counted with the others that the kernel dropped.
        logDenial(incoming, .stranger, Self.droppedByKernel, true, at: now, into: &actions)
    }

    private static let droppedByKernel = "dropped by the kernel"

    /// The kernel's counter of dropped strangers was read.
    public mutating func strangersDropped(total: UInt64, at now: Instant) {
        let (all, untold) = watch.dropped(total: total)
        journal.dropped(all, untold: untold, at: now)
    }

    // MARK: Malformed

    /// A message that can't be served: a client that a rule names gets the error that RFC 5531 asks for.
    mutating func malformed(_ incoming: IncomingCall, at now: Instant, into actions: inout [Action]) {
        let isAnswered = isKnown(incoming.peer) || rules.settings.mode == .observe
        let owed: Reply.Body?
        let detail: String
        switch incoming.content {
        case .undispatchable where !isAnswered: return deny(incoming, .stranger, at: now, into: &actions)
        case .call: return
        case .undispatchable(_, let fault) where !isKnown(incoming.peer):
            journal.counters.permitted += 1
            journal.counters.outcomes[incoming.outcome(.observed, .stranger), default: 0] += 1
            auditDenial(incoming, .stranger, detail: fault.name, isEnforced: false, at: now, into: &actions)
            return refuse(incoming, with: fault.owed, into: &actions)
        case .undispatchable(_, let fault): (owed, detail) = (fault.owed, fault.name)
        case .faulty(let fault): (owed, detail) = (fault.owed?.body, fault.name)
        }
        journal.counters.malformed += 1
        journal.counters.outcomes[incoming.outcome(.malformed), default: 0] += 1
        var event = AuditEvent(.malformed, incoming)
        event.detail = detail
        audit(located(event, incoming.peer), at: now, into: &actions)
        judge(incoming, nil, at: now, into: &actions)
        if !isAnswered { noteStranger(incoming.peer, at: now, into: &actions) }
        refuse(incoming, with: isAnswered ? owed : nil, into: &actions)
    }

    /// A stream's records can't be followed any further: closes the connection.
    public mutating func recordRefused(
        _ peer: Peer, _ fault: RecordFault, at now: Instant, into actions: inout [Action]
    ) {
        journal.counters.malformed += 1
        journal.counters.outcomes[CallOutcome(.malformed, nil, over: peer.transport), default: 0] += 1
        var event = AuditEvent(.malformed, nil, from: peer, xid: nil)
        event.detail = "\(fault)"
        audit(located(event, peer), at: now, into: &actions)
        actions.append(.closeConnection(peer.channel))
    }

    // MARK: Refusals

    /// The server's portmapper serves version 2 alone: the caller learns it, and asks by that version.
    mutating func refuseVersion(of request: Exchange.Request, at now: Instant, into actions: inout [Action]) {
        notePermitted(request, detail: "the server's portmapper serves version 2 alone", at: now, into: &actions)
        let only = PortmapperVersion.v2.rawValue
        let reply = Reply(xid: request.xid, body: .programMismatch(low: only, high: only))
        actions.append(.sendReply(reply, to: request.peer))
    }

    /// The reply to a denied call; `nil`: silence.
    private mutating func refusal(of incoming: IncomingCall) -> Reply.Body? {
        let denial = rules.settings.denial
        guard isKnown(incoming.peer) else { return denial.strangers == .authError ? .authError(.failed) : nil }
        guard case .call(let call) = incoming.content else {
            return denial.refuse == .silence ? nil : .authError(.failed)
        }
        if call.isSilentlyRefused(over: incoming.peer.transport) { return nil }
        return switch denial.refuse {
        case .silence: nil
        case .notRegistered: call.notRegisteredReply
        case .authError: .authError(.failed)
        }
    }

    /// Sends the refusal. Over UDP it is never longer than the call; over TCP, silence closes the connection.
    private func refuse(_ incoming: IncomingCall, with body: Reply.Body?, into actions: inout [Action]) {
        let peer = incoming.peer
        guard let body else {
            if peer.transport == .tcp { actions.append(.closeConnection(peer.channel)) }
            return
        }
        let reply = Reply(xid: incoming.xid, body: body)
        guard peer.transport == .tcp || reply.encoded.count <= incoming.byteCount else { return }
        actions.append(.sendReply(reply, to: peer))
    }

    // MARK: The log

    /// Logs the event about a server, unless there are too many of its kind.
    mutating func audit(
        _ event: AuditEvent, of server: ServerNumber, at now: Instant, into actions: inout [Action]
    ) {
        var event = event
        event.server = servers.name(server)
        audit(event, at: now, into: &actions)
    }

    /// Logs the event, unless there are too many of its kind; counts it in any case.
    mutating func audit(_ event: AuditEvent, at now: Instant, into actions: inout [Action]) {
        guard admits(event.kind, of: event.client, over: event.transport, at: now) else { return }
        actions.append(.audit(event.named(by: journal.names)))
    }

    mutating func admits(
        _ kind: AuditEvent.Kind, of client: IPAddress?, over transport: Transport?, isOfRate: Bool = false,
        at now: Instant
    ) -> Bool {
        let isListed = if let client { servers.lists(client) } else { false }
        return journal.admits(
            kind, of: client, isListed: isListed, over: transport, isOfRate: isOfRate, at: now)
    }
}
