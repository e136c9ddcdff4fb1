import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import Exchanges
import Firewall
import Gate
import Journal
import ONCRPC
import Policy
import Portmapper
import Sharing
import Upstream
import Watch

/// The state machine that decides: events in, actions out; no clock and no I/O.
///
/// Each event appends the actions to take. Events are processed in order, on one thread. After a group of events
/// that arrived together, ``flush(at:into:)`` commits the changes that they need of the kernel in one
/// transaction.
///
/// The state belongs to six parts, which know nothing of each other. This file is the story of a call from its
/// arrival to its reply; the other files of the target have the events that concern no call.
public struct Warden: ~Copyable, Sendable {
    /// The policy about each server, and its portmapper.
    var servers: Servers
    var journal: Journal
    public internal(set) var watch: Watch
    var exchanges: Exchanges
    public internal(set) var gate: Gate
    var sharing: Sharing
    /// The last port that was answered, and its encoding: calls that share an answer mostly get the same port.
    private var lastPort = (port: UInt32(0), results: PortmapperResult.port(0).encoded)
    /// What each server behind this gateway contributes to the desired elements.
    var elementsOfServer: [ServerNumber: Gate.Elements] = [:]
    /// The desired elements let clients pass a shield.
    var hasShieldElements = false
    /// Grows with each change of the guarded ports.
    var guardMark: UInt64 = 0

    /// - Parameter trustedOwners: of this host's registrations; the settings have those of the servers.
    public init(settings: Settings, policies: PolicySet, names: ProgramNames, trustedOwners: TrustedOwners) {
        servers = Servers(settings, policies, trustedOwners: trustedOwners)
        exchanges = Exchanges(servers: servers.count)
        journal = Journal(names: names)
        watch = Watch(settings)
        gate = Gate(settings)
        sharing = Sharing(settings)
    }

    /// This host is the only server.
    public init(
        settings: Settings, policy: Policy, pending: PendingRules = .none, names: ProgramNames,
        trustedOwners: TrustedOwners
    ) {
        self.init(
            settings: settings, policies: PolicySet(policy, pending: pending), names: names,
            trustedOwners: trustedOwners)
    }

    /// This host's: settings are the same for all, and so are the clients that any rule names.
    var rules: Rulebook { servers.rules(about: 0) }

    /// The rules about the server that the peer asked.
    func rules(for peer: Peer) -> Rulebook { servers.rules(about: servers.number(of: servers.asked(by: peer))) }

    // MARK: A call comes

    /// A message reached port 111.
    public mutating func callReceived(
        _ received: consuming IncomingCall, at now: Instant, into actions: inout [Action]
    ) {
        journal.counters.calls += 1
        var incoming = consume received
        let asked = servers.asked(by: incoming.peer)
        // This host asks no server: a packet of its own is not intercepted.
        if incoming.peer.isLocal, asked != .thisHost { incoming.peer.isLocal = false }
        let peer = incoming.peer
        let rules = servers.rules(about: servers.number(of: asked))
        if peer.isBroadcast || peer.asked.host.isMulticastOrBroadcast {
            return deny(incoming, .broadcast, at: now, into: &actions)
        }
        if !peer.isLocal {
            let isListed = asked.isCallback || servers.lists(peer.address)
            if !watch.admits(peer, isListed: isListed, at: now) {
                // Observe mode lifts the rate of clients that a rule names. The cost of strangers stays bounded.
                guard rules.settings.mode == .observe, isListed else {
                    return deny(incoming, .rate, at: now, into: &actions)
                }
                auditDenial(incoming, .rate, isEnforced: false, at: now, into: &actions)
            }
        }
        guard case .call(let call) = incoming.content else { return malformed(incoming, at: now, into: &actions) }
        switch decide(call, from: peer, asked) {
        case .success(let permission): begin(call, incoming, permission, at: now, into: &actions)
        case .failure(let reason):
            guard let lifted = rules.lifted(reason, of: call, from: peer) else {
                return deny(incoming, reason, at: now, into: &actions)
            }
            auditDenial(incoming, reason, isEnforced: false, at: now, into: &actions)
            begin(call, incoming, lifted, at: now, into: &actions)
        }
    }

    /// Answers a call at once if rpcbind isn't needed for it; asks rpcbind otherwise.
    private mutating func begin(
        _ call: consuming PortmapperCall, _ incoming: IncomingCall, _ permission: Permission, at now: Instant,
        into actions: inout [Action]
    ) {
        let peer = incoming.peer
        let asked = servers.asked(by: peer)
        let server = servers.number(of: asked)
        let request = Exchange.Request(
            peer: peer, xid: incoming.xid, byteCount: incoming.byteCount, call: call, permission: permission,
            server: server, asked: asked)
        if !asked.isCallback, servers.isVersion2Only(server), request.call.version != .v2 {
            return refuseVersion(of: request, at: now, into: &actions)
        }
        if let result = request.call.ownAnswer(asked: peer.asked) {
            return finish(request, result, at: now, into: &actions)
        }
        if asked.isCallback { return beginCallback(request, at: now, into: &actions) }
        guard let question = servers.question(for: request.call, from: peer, to: server) else {
            return finish(request, request.call.notRegistered, at: now, into: &actions)
        }
        guard let id = beginExchange(request, at: now, into: &actions) else { return }
        if case .registration = question { return actions.append(.inspectOwner(peer, exchange: id)) }
        ask(question, of: server, for: .exchange(id), at: now, into: &actions)
    }

    /// Gives the call a place; `nil`: it goes no further.
    mutating func beginExchange(
        _ request: Exchange.Request, at now: Instant, into actions: inout [Action]
    ) -> Exchange.ID? {
        switch exchanges.begin(request) {
        case .duplicate: journal.counters.duplicates += 1
        case .full:
            let incoming = IncomingCall(
                peer: request.peer, xid: request.xid, byteCount: request.byteCount, content: .call(request.call))
            deny(incoming, .rate, detail: "too many calls under way", isOwnDoing: false, at: now, into: &actions)
        case .began(let id):
            if request.peer.transport == .tcp { watch.connections.callBegan(request.peer.channel) }
            return id
        }
        return nil
    }

    mutating func ask(
        _ question: Question, of server: ServerNumber, for asker: Exchanges.Asker, at now: Instant,
        into actions: inout [Action]
    ) {
        if exchanges.ask(question, of: server, for: asker, at: now) { actions.append(.ask(question, of: server)) }
    }

    // MARK: rpcbind answers

    /// A server's rpcbind answered a question, or failed to.
    public mutating func answered(
        _ question: Question, with answer: Result<RpcbindAnswer, RpcbindFailure>, by server: ServerNumber = 0,
        at now: Instant, into actions: inout [Action]
    ) {
        let (askers, isAskedAgain, since) = exchanges.answered(question, by: server, at: now)
        if isAskedAgain { actions.append(.ask(question, of: server)) }
        switch answer {
        case .success: if let since { journal.counters.upstreamLatency.observe(from: since, to: now) }
        case .failure: journal.counters.upstreamFailures += 1
        }
        switch (question, answer) {
        case (.port, .success(.port(let port))):
            for case .exchange(let id) in askers { portArrived(id, port, at: now, into: &actions) }
            if askers.contains(.version2Check) { servers[server].upstream.version2Checked(port) }
        case (.registry, .success(.registry(let listing))):
            registryAnswered(listing, by: server, askers, since: since, at: now, into: &actions)
        case (.registry, .success):
            registryFailed(.refused("no listing"), of: server, askers, since: nil, at: now, into: &actions)
        case (.registry, .failure(let failure)):
            registryFailed(failure, of: server, askers, since: since, at: now, into: &actions)
        case (.registration, .success(.registration(let isDone))):
            registrationAnswered(askers, isDone, at: now, into: &actions)
        case (.port, .success), (.registration, .success):
            deny(askers, .refused("it answered another question"), at: now, into: &actions)
        case (.port, .failure(let failure)), (.registration, .failure(let failure)):
            deny(askers, failure, at: now, into: &actions)
        }
        if case .port(let mapping) = question, askers.contains(.survey) {
            surveyed(mapping, answer, of: server, at: now, into: &actions)
        }
        startLook(at: server, into: &actions)
    }

    private mutating func deny(
        _ askers: Askers<Exchanges.Asker>, _ failure: RpcbindFailure, at now: Instant, into actions: inout [Action]
    ) {
        for case .exchange(let id) in askers {
            deny(id, .rpcbindDown, detail: failure.description, at: now, into: &actions)
        }
    }

    /// GETPORT was answered.
    private mutating func portArrived(
        _ id: Exchange.ID, _ port: UInt32, at now: Instant, into actions: inout [Action]
    ) {
        guard let request = exchanges.request(of: id), let lookUp = request.lookUp,
            let transport = lookUp.netID.transport
        else { return }
        guard let port = UInt16(exactly: port), port != 0 else {
            // Some rpcbinds keep no list of version 2.
            guard servers[request.server].upstream.match(lookUp) != nil else {
                return complete(id, request.call.notRegistered, at: now, into: &actions)
            }
            return readRegistry(for: id, .notRegistered, at: now, into: &actions)
        }
        let service = ServicePort(transport, port)
        guard let matched = servers.match(lookUp, at: service, of: request.server) else {
            // A peer on this host gets rpcbind's answer as it is: local services need each other, whatever their
            // owners.
            guard !request.peer.isLocal else {
                return complete(id, request.result(at: service, nil), at: now, into: &actions)
            }
            return readRegistry(for: id, .service(service), at: now, into: &actions)
        }
        answer(id, request, by: matched, at: now, into: &actions)
    }

    /// The registration that answered isn't known: the registry is read anew.
    private mutating func readRegistry(
        for id: Exchange.ID, _ unmatched: Exchange.Unmatched, at now: Instant, into actions: inout [Action]
    ) {
        guard let server = exchanges.request(of: id)?.server else { return }
        exchanges.change(id) { $0.unmatched = unmatched }
        ask(.registry, of: server, for: .exchange(id), at: now, into: &actions)
    }

    /// The registry was read for this call, and the listeners have been looked at.
    mutating func registryArrived(_ id: Exchange.ID, at now: Instant, into actions: inout [Action]) {
        guard let exchange = exchanges[id] else { return }
        let request = exchange.request
        switch request.call {
        case .dump(let version): list(id, version, at: now, into: &actions)
        case .getAddressList(let rpcb): listAddresses(of: rpcb, for: id, request, at: now, into: &actions)
        case .getPort, .getAddress, .getVersionAddress:
            guard let lookUp = request.lookUp, let matched = matched(lookUp, exchange.unmatched, at: request.server)
            else { return complete(id, request.call.notRegistered, at: now, into: &actions) }
            // GETPORT has just answered that there is no such registration.
            if exchange.unmatched == .notRegistered {
                ask(
                    .port(Upstream.version2Check), of: request.server, for: .version2Check, at: now, into: &actions)
            }
            answer(id, request, by: matched, at: now, into: &actions)
        case .null, .setMapping, .unsetMapping, .set, .unset, .callIt, .broadcast, .indirect, .getTime,
            .universalToTransportAddress, .transportToUniversalAddress, .getStatistics:
            deny(id, .rpcbindDown, at: now, into: &actions)
        }
    }

    /// The registration that answers. If the registry, though read anew, lacks the one that rpcbind answered with,
    /// a trusted owner's does: it must not be hidden by one among very many that untrusted users made, or by one
    /// that lived for a moment.
    private mutating func matched(
        _ lookUp: LookUp, _ unmatched: Exchange.Unmatched?, at server: ServerNumber
    ) -> MatchedRegistration? {
        guard case .service(let service)? = unmatched else { return servers[server].upstream.match(lookUp) }
        if let matched = servers[server].upstream.match(lookUp, at: service) { return matched }
        return servers[server].upstream.match(lookUp).flatMap { $0.isTrusted && !lookUp.isLocal ? $0 : nil }
    }

    // MARK: The service's port opens

    /// Opens the registration's port, if its owner is trusted, and answers.
    private mutating func answer(
        _ id: Exchange.ID, _ request: Exchange.Request, by matched: MatchedRegistration, at now: Instant,
        into actions: inout [Action]
    ) {
        let (peer, port) = (request.peer, matched.service.at(request.asked))
        let result = request.result(at: port, matched.registration)
        guard !peer.isLocal else { return complete(id, result, at: now, into: &actions) }
        guard matched.isTrusted else {
            let detail = "\(port) registered by \(matched.registration.owner)"
            return deny(id, .untrustedOwner, answer: result, detail: detail, at: now, into: &actions)
        }
        guard !rules.spares(port) else {
            return deny(id, .neverPort, answer: result, detail: "\(port)", at: now, into: &actions)
        }
        let permission = request.permission
        let service = ServiceOpening(
            program: matched.program, port: port, rule: permission.rule, open: permission.open)
        // The usual case: an earlier call has opened the port.
        if needsNoLook(service, peer, at: now), isSettled(service, for: peer.address) {
            return complete(id, result, at: now, into: &actions)
        }
        open([service], for: id, peer, answering: result, at: now, into: &actions)
    }

    /// Opens the services, once their listeners have been looked at, unless an earlier look suffices.
    mutating func open(
        _ services: [ServiceOpening], for id: Exchange.ID, _ peer: Peer, answering result: PortmapperResult,
        at now: Instant, into actions: inout [Action]
    ) {
        exchanges.change(id) { ($0.result, $0.services) = (result, services) }
        // A service may have come alive since the last look.
        let unseen = services.filter { !needsNoLook($0, peer, at: now) }
        guard unseen.isEmpty else {
            guard let server = exchanges.request(of: id)?.server else { return }
            return servers[server].upstream.look(at: unseen, for: id)
        }
        open(id, at: now, into: &actions)
    }

    // Mutating, though it changes nothing: docs/HACKING.md, "Rules of the house".
    /// Whether the service listened at the last look, and the grant that it takes exists. A server's services aren't
    /// looked at all the time; those who call them remember the answers for a while.
    private mutating func needsNoLook(_ service: ServiceOpening, _ peer: Peer, at now: Instant) -> Bool {
        service.port.server == .thisHost && servers.isAlive(service.port, ipv4: peer.address.isIPv4)
            && gate.hasGrant(service, for: peer.address, over: peer.transport, at: now)
    }

    /// Whether no change that waits for the kernel concerns the service and the client.
    private mutating func isSettled(_ service: ServiceOpening, for client: IPAddress) -> Bool {
        gate.isSettled(
            service,
            standing: servers.rules(about: servers.number(of: service.port.server)).standing(service, holding: client))
    }

    mutating func startLook(at server: ServerNumber, into actions: inout [Action]) {
        guard let look = servers[server].upstream.takeLook() else { return }
        guard server != 0 else { return actions.append(.inspectListeners(look.services, look: look.id)) }
        let questions = servers[server].upstream.questions(of: look.id)
        actions.append(.callServices(questions, of: server, look: look.id))
    }

    /// The result of a look at a server's services: how each answered its NULL call.
    public mutating func servicesCalled(
        _ look: Upstream.Look.ID, of server: ServerNumber, _ answers: [LivenessQuestion: LivenessAnswer],
        at now: Instant, into actions: inout [Action]
    ) {
        // Several programs of one port may have been called.
        let answers = Dictionary(answers.map { ($0.key.service, $0.value) }, uniquingKeysWith: max)
        listenersInspected(look, of: server, answers.mapValues { $0.state }, at: now, into: &actions)
        flush(at: now, into: &actions)
    }

    /// The result of a look; `nil`: the listeners couldn't be inspected.
    /// - Parameter since: when the kernel was asked, if no call was answered until now.
    public mutating func listenersInspected(
        _ look: Upstream.Look.ID, of server: ServerNumber = 0, _ states: [ServicePort: ListenerState]?,
        since: Instant? = nil, at now: Instant, into actions: inout [Action]
    ) {
        let look = servers[server].upstream.looked(look, states, at: now)
        if let since, look?.isOfSnapshot == true { servers[server].upstream.spare(after: now - since, at: now) }
        settleServices(of: server, at: now, into: &actions)
        if server != 0 { openWaiting(at: server, at: now) }
        for id in look?.readers ?? [] { registryArrived(id, at: now, into: &actions) }
        for id in look?.openers ?? [] {
            if states == nil {
                deny(id, .firewallFailed, detail: "listening sockets can't be looked up", at: now, into: &actions)
            } else {
                open(id, at: now, into: &actions)
            }
        }
        startLook(at: server, into: &actions)
    }

    /// Issues the grants that the reply needs, and waits for the kernel.
    ///
    /// - Parameter hasLooked: whether the kernel has told the remaining lives of the grants.
    /// - Parameter isRetried: whether copies of other nodes' grants have made room.
    mutating func open(
        _ id: Exchange.ID, hasLooked: Bool = false, isRetried: Bool = false, at now: Instant,
        into actions: inout [Action]
    ) {
        guard let exchange = exchanges[id], let result = exchange.result else { return }
        let client = exchange.request.client
        let transport = exchange.request.peer.transport
        // A client's portmapper has just told its own service.
        for service in exchange.services
        where !service.port.server.isCallback && !servers.isAlive(service.port, ipv4: client.isIPv4) {
            let (reason, detail) = deadness(of: service.port)
            return deny(id, reason, answer: result, detail: detail, at: now, into: &actions)
        }
        let isPending = !exchange.services.allSatisfy { isSettled($0, for: client) }
        switch gate.open(
            exchange.services, for: client, over: transport, waiter: id, hasLooked: hasLooked,
            awaitsElements: isPending, at: now, wallClock: journal.wallClock(at: now))
        {
        case .open: complete(id, result, at: now, into: &actions)
        case .waits(let count): exchanges.change(id) { $0.outstanding = count }
        case .looks(let keys): actions.append(.inspectGrants(keys))
        case .full where !isRetried && makeRoom(for: exchange.services.count, of: client, over: transport):
            open(id, hasLooked: hasLooked, isRetried: true, at: now, into: &actions)
        case .full:
            let detail = "limits.grants or limits.grants-per-client"
            deny(id, .grantsFull, answer: result, detail: detail, at: now, into: &actions)
        }
    }

    private func deadness(of service: ServicePort) -> (reason: DenialReason, detail: String) {
        let services = servers[servers.number(of: service.server)].upstream.services
        let foreign = services.foreignOwners(at: service).map(String.init).joined(separator: ", ")
        guard !foreign.isEmpty else { return (.notListening, "nothing listens at \(service)") }
        return (.untrustedOwner, "\(service) is held by uid \(foreign), which rpcbind.owners doesn't trust")
    }

    /// The remaining lives that the kernel reports for grants that may have expired; a grant without one has
    /// expired.
    public mutating func grantsInspected(
        _ keys: [GrantKey], _ found: [GrantKey: Duration], at now: Instant, into actions: inout [Action]
    ) {
        shareUses(keys, found, at: now, into: &actions)
        let renewals = sharing.takeRenewals(of: keys)
        let (expired, waiters) = gate.inspected(keys, found, at: now)
        for (key, grant) in expired {
            journal.counters.expired += 1
            var event = event(.expired, key, grant.rule, grant.programs.least)
            if grant.isUnproven { event.detail = "asked for over UDP, and never used" }
            audit(event, at: now, into: &actions)
            shareExpired(key, grant, into: &actions)
        }
        for id in waiters { open(id, hasLooked: true, at: now, into: &actions) }
        renewCopies(renewals, at: now)
        flush(at: now, into: &actions)
    }

    /// Commits the gathered changes in one transaction.
    public mutating func flush(at now: Instant, into actions: inout [Action]) {
        // Asked after each event; mostly there is nothing.
        guard !gate.isInStep() else { return }
        let transaction = gate.nextTransaction(quarantined: watch.quarantined, shields: watch.shields, at: now)
        if let transaction { actions.append(.commit(transaction)) }
    }

    /// The kernel acknowledged the transaction in flight, or refused it.
    public mutating func committed(_ failure: CommitFailure?, at now: Instant, into actions: inout [Action]) {
        if let since = gate.inFlightSince { journal.counters.commitLatency.observe(from: since, to: now) }
        if let failure {
            journal.counters.commitFailures += 1
            conclude(gate.failed(failure, at: now), at: now, into: &actions)
        } else {
            journal.counters.commits += 1
            conclude(gate.committed(at: now), at: now, into: &actions)
        }
        flush(at: now, into: &actions)
    }

    private mutating func conclude(_ outcome: Gate.Outcome, at now: Instant, into actions: inout [Action]) {
        if outcome.isTableMade { watch.tableMade() }
        if let restored = outcome.restored { audit(restored, at: now, into: &actions) }
        for (waiters, failure) in outcome.refused {
            let reason: DenialReason = failure.kind == .full ? .grantsFull : .firewallFailed
            for id in waiters {
                deny(id, reason, answer: exchanges[id]?.result, detail: failure.message, at: now, into: &actions)
            }
        }
        sharing.refused(outcome.refusedIssues)
        for revoked in outcome.revoked { noteRevoked(revoked, at: now, into: &actions) }
        for issued in outcome.issued { noteIssued(issued, at: now, into: &actions) }
        for key in outcome.removedStanding
        where servers[servers.number(of: key.service.server)].upstream.services.guarded.contains(key.service) {
            actions.append(.cutFlows(key.clients, key.service))
        }
        for id in outcome.acknowledged { acknowledged(id, at: now, into: &actions) }
    }

    /// Counts one acknowledgement; the last one lets the reply go.
    private mutating func acknowledged(_ id: Exchange.ID, at now: Instant, into actions: inout [Action]) {
        guard let exchange = exchanges[id], let result = exchange.result else { return }
        exchanges.change(id) { $0.outstanding -= 1 }
        guard exchange.outstanding == 1 else { return }
        complete(id, result, at: now, into: &actions)
    }

    // MARK: The reply leaves

    /// Ends the exchange, and sends the reply.
    mutating func complete(
        _ id: Exchange.ID, _ result: PortmapperResult, at now: Instant, into actions: inout [Action]
    ) {
        guard let request = end(id) else { return }
        finish(request, result, at: now, into: &actions)
    }

    mutating func end(_ id: Exchange.ID) -> Exchange.Request? {
        guard let request = exchanges.end(id) else { return nil }
        if request.peer.transport == .tcp { watch.connections.callEnded(request.peer.channel) }
        return request
    }

    mutating func finish(
        _ request: Exchange.Request, _ result: PortmapperResult, at now: Instant, into actions: inout [Action]
    ) {
        if case .port(let port) = result {
            if lastPort.port != port { lastPort = (port, result.encoded) }
            return finish(request, lastPort.results, isRegistered: port != 0, at: now, into: &actions)
        }
        finish(request, result.encoded, isRegistered: result.isRegistered, at: now, into: &actions)
    }

    /// Sends the reply of a permitted call, and audits the call.
    /// - Parameter results: the procedure's results, as XDR.
    mutating func finish(
        _ request: Exchange.Request, _ results: [UInt8], isRegistered: Bool, at now: Instant,
        into actions: inout [Action]
    ) {
        let peer = request.peer
        let lifted = request.permission.liftedDenial
        // Over UDP, a stranger that observe mode answers gets no reply longer than its call.
        if lifted == nil || peer.transport == .tcp || Reply.successHeaderBytes + results.count <= request.byteCount
            || isKnown(peer)
        {
            actions.append(.sendReply(Reply(xid: request.xid, body: .success(results)), to: peer))
        }
        notePermitted(request, detail: isRegistered ? nil : "not registered", at: now, into: &actions)
    }

    /// Counts a call that got its reply, and audits it.
    mutating func notePermitted(
        _ request: Exchange.Request, detail: String?, at now: Instant, into actions: inout [Action]
    ) {
        let peer = request.peer
        let rules = servers.rules(about: request.server)
        journal.counters.permitted += 1
        let lifted = request.permission.liftedDenial
        let outcome = CallOutcome(
            lifted == nil ? .permitted : .observed, request.call.procedureName, over: peer.transport, lifted)
        journal.counters.outcomes[outcome, default: 0] += 1
        let client = request.client
        guard lifted == nil,
            journal.admitsPermitted(
                request.call, of: client, over: peer.transport, at: request.server,
                isListed: request.permission.rule != nil || servers.lists(client),
                logging: rules.settings.audit.permitted, at: now)
        else { return }
        var event = AuditEvent(.permitted, request.call, from: peer, xid: request.xid)
        event.rule = request.permission.rule
        event.server = servers.name(request.server)
        event.detail = detail
        if request.asked.isCallback { event = located(event, peer) }
        actions.append(.audit(event.named(by: journal.names)))
    }
}

extension Exchange.Request {
    /// The reply, with an address that the client can use: the one that it asked, unless the service has its own.
    func result(at service: ServicePort, _ registration: Registration?) -> PortmapperResult {
        if lookUp?.answersPort == true { return .port(UInt32(service.port)) }
        let host = asked == .thisHost ? registration?.host(asked: peer) ?? peer.asked.host : peer.asked.host
        return .address(UniversalAddress(host: host, port: service.port).description)
    }
}

extension LivenessAnswer {
    fileprivate var state: ListenerState {
        switch self {
        case .alive: ListenerState(ipv4: true, ipv6: true)
        case .dead: ListenerState()
        case .refused: .refused
        }
    }
}
