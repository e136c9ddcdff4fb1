import Addresses
import AuditTrail
import Calls
import Clock
import Firewall
import ONCRPC
import Policy
import Portmapper

extension Warden {
    /// rpcbind answered a question, or failed to.
    public mutating func answered(
        _ question: Question, with answer: Result<RpcbindAnswer, RpcbindFailure>, at now: Instant,
        into actions: inout [Action]
    ) {
        let (served, isAskedAgain, latency) = questions.answered(question, at: now)
        if isAskedAgain { actions.append(.ask(question)) }
        note(answer, after: latency)
        defer { startInspection(into: &actions) }
        switch (question, answer) {
        case (.registry, .success(.registry(let listing))):
            spareRpcbind(after: latency, for: served, at: now)
            registryAnswered(listing, served, at: now, into: &actions)
        case (.registry, .success): registryFailed(.refused("no listing"), served, at: now, into: &actions)
        case (.registry, .failure(let failure)):
            spareRpcbind(after: latency, for: served, at: now)
            registryFailed(failure, served, at: now, into: &actions)
        case (.port(let mapping), .success(.port(let port))):
            for case .exchange(let id) in served { portArrived(id, port, at: now, into: &actions) }
            if served.contains(where: \.isSurvey) { surveyed(mapping, at: port, now, into: &actions) }
            if served.contains(where: \.isVersion2Check) { isVersion2ListMissing = port == 0 }
        case (.registration, .success(.registration(let isDone))):
            registrationAnswered(served, isDone, at: now, into: &actions)
        case (.port, .success), (.registration, .success):
            deny(served, .refused("it answered another question"), at: now, into: &actions)
        case (.port(let mapping), .failure(let failure)):
            deny(served, failure, at: now, into: &actions)
            if served.contains(where: \.isSurvey) { surveyed(mapping, at: nil, now, into: &actions) }
        case (.registration, .failure(let failure)): deny(served, failure, at: now, into: &actions)
        }
    }

    private mutating func deny(
        _ askers: [Asker], _ failure: RpcbindFailure, at now: Instant, into actions: inout [Action]
    ) {
        for case .exchange(let id) in askers {
            deny(id, .rpcbindDown, detail: failure.description, at: now, into: &actions)
        }
    }

    private mutating func note(_ answer: Result<RpcbindAnswer, RpcbindFailure>, after latency: Duration?) {
        switch answer {
        case .success:
            if let latency { counters.upstreamLatency.observe(latency) }
        case .failure: counters.upstreamFailures += 1
        }
    }

    /// The snapshot takes no more than one part in so many of rpcbind's time: rpcbind answers no other call while
    /// it lists, and local users can make the list as long as they like.
    private static let listingTimeShare = 8

    private mutating func spareRpcbind(after latency: Duration?, for askers: [Asker], at now: Instant) {
        // Listings for clients must not delay the snapshot.
        guard let latency, askers.contains(where: \.isRefresh) else { return }
        nextRefresh = max(nextRefresh, now + latency * Self.listingTimeShare)
    }

    private mutating func registryAnswered(
        _ listing: Listing, _ askers: [Asker], at now: Instant, into actions: inout [Action]
    ) {
        noteReachable(at: now, into: &actions)
        survey = nil
        registryRead(listing, for: askers, at: now, into: &actions)
    }

    private mutating func noteReachable(at now: Instant, into actions: inout [Action]) {
        if isRpcbindUp != true { audit(AuditEvent(.rpcbindUp), at: now, into: &actions) }
        isRpcbindUp = true
    }

    private mutating func registryFailed(
        _ failure: RpcbindFailure, _ askers: [Asker], at now: Instant, into actions: inout [Action]
    ) {
        let isSurveyed = startSurvey(after: failure, at: now, into: &actions)
        if isRpcbindUp != false {
            let detail = failure.description + (isSurveyed ? "; policy's programs are asked for one by one" : "")
            audit(AuditEvent(.rpcbindDown, detail: detail), at: now, into: &actions)
        }
        isRpcbindUp = false
        // rpcbind may come back as another process, with a list of version 2.
        isVersion2ListMissing = false
        for case .exchange(let id) in askers { deny(id, .rpcbindDown, at: now, into: &actions) }
        // The listeners are inspected even so: a port stays guarded for as long as its socket listens.
        if registry != nil, askers.contains(where: \.isRefresh) { inspectAll() }
    }

    private mutating func portArrived(
        _ id: Exchange.ID, _ port: UInt32, at now: Instant, into actions: inout [Action]
    ) {
        guard let request = exchanges.request(of: id), let netID = request.answeringNetID,
            let transport = netID.transport, let (program, version) = request.call.subject
        else { return }
        guard let port = UInt16(exactly: port), port != 0 else {
            // Some rpcbinds keep no list of version 2.
            guard match(program, version, over: netID, for: request) != nil else {
                return complete(id, Self.notRegistered(request.call), at: now, into: &actions)
            }
            exchanges.change(id) { $0.unmatched = .notRegistered }
            return ask(.registry, for: .exchange(id), at: now, into: &actions)
        }
        matchAnswer(id, request, at: ServicePort(transport, port), at: now, into: &actions)
    }

    /// Finds the registration that answered, which must have a trusted owner. Reads the registry anew if the
    /// registration isn't known.
    private mutating func matchAnswer(
        _ id: Exchange.ID, _ request: Exchange.Request, at service: ServicePort, at now: Instant,
        into actions: inout [Action]
    ) {
        guard let matched = match(request, at: service) ?? substitute(for: id, request) else {
            // A peer on this host gets rpcbind's answer as it is: local services need each other, whatever their
            // owners.
            if request.peer.isLocal {
                return complete(id, request.result(at: service, nil), at: now, into: &actions)
            }
            guard exchanges[id]?.unmatched != nil else {
                exchanges.change(id) { $0.unmatched = .service(service) }
                return ask(.registry, for: .exchange(id), at: now, into: &actions)
            }
            return complete(id, Self.notRegistered(request.call), at: now, into: &actions)
        }
        answer(id, request, by: matched, at: now, into: &actions)
    }

    /// A trusted owner's registration, for the case that the registry, though read anew, lacks the registration
    /// that answered: that one is among very many that untrusted users made, or it lived for a moment. It must
    /// not hide a trusted owner's.
    private func substitute(for id: Exchange.ID, _ request: Exchange.Request) -> MatchedRegistration? {
        guard exchanges[id]?.unmatched != nil, !request.peer.isLocal, let netID = request.answeringNetID,
            let (program, version) = request.call.subject,
            let matched = match(program, version, over: netID, for: request), matched.isTrusted
        else { return nil }
        return matched
    }

    /// The registry was read for this look-up.
    mutating func lookUpInRegistry(
        _ id: Exchange.ID, _ request: Exchange.Request, _ unmatched: Exchange.Unmatched?, at now: Instant,
        into actions: inout [Action]
    ) {
        if case .service(let service)? = unmatched {
            return matchAnswer(id, request, at: service, at: now, into: &actions)
        }
        guard let (program, version) = request.call.subject, let netID = request.answeringNetID,
            let matched = match(program, version, over: netID, for: request)
        else { return complete(id, Self.notRegistered(request.call), at: now, into: &actions) }
        // GETPORT has just answered that there is no such registration.
        if case .notRegistered? = unmatched {
            ask(.port(Self.ownPlace), for: .version2Check, at: now, into: &actions)
        }
        answer(id, request, by: matched, at: now, into: &actions)
    }

    /// rpcbind's own mapping, which is in its list of version 2 if it keeps one.
    private static let ownPlace = Mapping(
        program: .portmapper, version: 2, protocolNumber: UInt32(Transport.tcp.rawValue), port: 0)

    /// Opens the registration's port, if its owner is trusted, and answers.
    private mutating func answer(
        _ id: Exchange.ID, _ request: Exchange.Request, by matched: MatchedRegistration, at now: Instant,
        into actions: inout [Action]
    ) {
        let service = matched.service
        let result = request.result(at: service, matched.registration)
        guard !request.peer.isLocal else { return complete(id, result, at: now, into: &actions) }
        guard matched.isTrusted else {
            return deny(
                id, .untrustedOwner, answer: result,
                detail: "\(service) registered by \(matched.registration.owner)", at: now, into: &actions)
        }
        guard !settings.firewall.never.contains(service.port) else {
            return deny(id, .neverPort, answer: result, detail: "\(service)", at: now, into: &actions)
        }
        let opened = Exchange.Service(
            program: matched.program, port: service, rule: request.permission.rule, open: request.permission.open)
        // The usual case: an earlier call has opened the port.
        if isOpen(opened, for: request.peer.address, over: request.peer.transport, at: now) {
            return complete(id, result, at: now, into: &actions)
        }
        exchanges.change(id) { ($0.result, $0.services) = (result, [opened]) }
        inspect(id, at: now, into: &actions)
    }

    /// The registration at the port that rpcbind answered with: a trusted owner's, if there is one.
    ///
    /// Any user may register another version of root's program. If rpcbind answers with such a registration, a
    /// trusted owner's registration for the same program and netid answers instead, so that no user hides root's.
    private mutating func match(_ request: Exchange.Request, at service: ServicePort) -> MatchedRegistration? {
        guard let (program, version) = request.call.subject, let netID = request.answeringNetID else { return nil }
        if let last = lastMatch, last.program == program, last.answered == service, last.netID == netID {
            return last
        }
        let isLocal = request.peer.isLocal
        var first: Registration?
        for registration in registry?.registrations(of: program) ?? []
        where registration.netID == netID && registration.service == service
            && (isLocal || !registration.isForThisHostOnly)
        {
            if trustedOwners.contains(registration.owner), !isLocal {
                lastMatch = MatchedRegistration(registration, answered: service, isTrusted: true)
                return lastMatch
            }
            if first == nil { first = registration }
        }
        guard let first else { return nil }
        if isLocal { return MatchedRegistration(first, answered: service, isTrusted: isTrusted(first)) }
        return match(program, version, over: netID, for: request)
            ?? MatchedRegistration(first, answered: service, isTrusted: false)
    }

    /// The registration that answers a look-up of this program, version and netid. It is chosen as rpcbind would
    /// choose it, from the registrations of trusted owners if there are any.
    private func match(
        _ program: Program, _ version: UInt32, over netID: NetID, for request: Exchange.Request
    ) -> MatchedRegistration? {
        let isLocal = request.peer.isLocal
        var candidates = (registry?.registrations(of: program) ?? [])
            .filter { $0.netID == netID && (isLocal || !$0.isForThisHostOnly) }
        // GETVERSADDR asks for exactly this version.
        if case .getVersionAddress = request.call { candidates.removeAll { $0.version != version } }
        if !isLocal, let trusted = candidates.filter(isTrusted).chosen(for: version) {
            return MatchedRegistration(trusted, answered: nil, isTrusted: true)
        }
        return candidates.chosen(for: version).flatMap {
            MatchedRegistration($0, answered: nil, isTrusted: isTrusted($0))
        }
    }

    func isTrusted(_ registration: Registration) -> Bool { trustedOwners.contains(registration.owner) }

    /// Sends the reply, for which nothing has to be opened.
    mutating func complete(
        _ id: Exchange.ID, _ result: PortmapperResult, at now: Instant, into actions: inout [Action]
    ) {
        guard let request = take(id) else { return }
        finish(request, result, at: now, into: &actions)
    }

    mutating func deny(
        _ id: Exchange.ID, _ reason: DenialReason, answer: PortmapperResult? = nil, detail: String? = nil,
        at now: Instant, into actions: inout [Action]
    ) {
        guard let request = take(id) else { return }
        deny(request, reason, answer: answer, detail: detail, at: now, into: &actions)
    }

    /// Ends the exchange.
    mutating func take(_ id: Exchange.ID) -> Exchange.Request? {
        guard let request = exchanges.remove(id)?.request else { return nil }
        givePlaceBack(of: request.peer)
        switch request.peer.transport {
        case .udp: underWay[CallKey(request)] = nil
        case .tcp: connections.callEnded(request.peer.channel)
        }
        return request
    }
}

extension Warden.Asker {
    var isRefresh: Bool {
        if case .refresh = self { true } else { false }
    }

    var isSurvey: Bool {
        if case .survey = self { true } else { false }
    }

    var isVersion2Check: Bool {
        if case .version2Check = self { true } else { false }
    }
}

extension Exchange.Request {
    /// The netid of the registrations that answer; version 2 answers from the ones of IPv4, whatever it is asked
    /// over.
    var answeringNetID: NetID? {
        if case .getPort(let mapping) = call { return mapping.transport.map { NetID($0, isIPv4: true) } }
        return call.kind == .lookup ? peer.netID : nil
    }

    /// The reply, with an address that the client can use: the one that it asked, unless the service has its own.
    func result(at service: ServicePort, _ registration: Registration?) -> PortmapperResult {
        if case .getPort = call { return .port(UInt32(service.port)) }
        let host = registration?.host(asked: peer) ?? peer.asked.host
        return .address(UniversalAddress(host: host, port: service.port).description)
    }
}
