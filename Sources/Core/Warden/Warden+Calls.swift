import Addresses
import AuditTrail
import Calls
import Clock
import ONCRPC
import Policy
import Portmapper

extension Warden {
    /// A message reached port 111.
    public mutating func callReceived(_ incoming: IncomingCall, at now: Instant, into actions: inout [Action]) {
        counters.calls += 1
        let peer = incoming.peer
        if peer.isBroadcast || peer.asked.host.isMulticastOrBroadcast {
            return deny(incoming, .broadcast, at: now, into: &actions)
        }
        if !peer.isLocal {
            let isListed = policy.lists(peer.address)
            if !rates.admits(RateLimiter.Key(peer.address, peer.transport, isListed: isListed), at: now) {
                // Observe mode lifts the rate of clients that a rule names. The cost of strangers stays bounded.
                guard settings.mode == .observe, isListed else { return deny(incoming, .rate, at: now, into: &actions) }
                auditDenial(incoming, .rate, isEnforced: false, at: now, into: &actions)
            }
        }
        switch incoming.content {
        case .call(let call): dispatch(call, incoming, at: now, into: &actions)
        case .undispatchable(_, let fault):
            malformed(incoming, owed: Reply(xid: incoming.xid, body: fault.owed), at: now, into: &actions)
        case .faulty(let fault): malformed(incoming, owed: fault.owed, at: now, into: &actions)
        }
    }

    private mutating func dispatch(
        _ call: PortmapperCall, _ incoming: IncomingCall, at now: Instant, into actions: inout [Action]
    ) {
        switch decide(call, from: incoming.peer) {
        case .success(let permission):
            begin(call, incoming, permission, at: now, into: &actions)
        case .failure(let reason) where isLifted(reason, of: call, from: incoming.peer):
            auditDenial(incoming, reason, isEnforced: false, at: now, into: &actions)
            begin(
                call, incoming, Permission(rule: nil, open: .never, liftedDenial: reason), at: now, into: &actions)
        case .failure(let reason):
            deny(incoming, reason, at: now, into: &actions)
        }
    }

    /// Whether observe mode answers a call that enforce mode denies. A stranger over UDP, whose address may be
    /// forged, gets nothing that is sure to be longer than its call.
    @inline(__always)
    func isLifted(_ reason: DenialReason, of call: PortmapperCall, from peer: Peer) -> Bool {
        settings.mode == .observe && reason.isLiftedByObserving
            && !(call.kind == .listing && peer.transport == .udp && !isKnown(peer))
    }

    // Inlined, as are some others: docs/HACKING.md, "Rules of the house".
    /// Decides by policy alone whether the call may go on: the same for registered and unregistered programs.
    @inline(__always)
    public func decide(_ call: PortmapperCall, from peer: Peer) -> Result<Permission, DenialReason> {
        switch call {
        case .set, .unset, .setMapping, .unsetMapping:
            peer.isLocal && settings.rpcbind.permitsLocalRegistration
                ? .success(.local) : .failure(.remoteRegistration)
        case .callIt, .broadcast, .indirect: .failure(.remoteCall)
        case .getTime, .universalToTransportAddress, .transportToUniversalAddress, .getStatistics:
            .failure(isKnown(peer) ? .notServed : .stranger)
        case .null: isKnown(peer) ? .success(.local) : .failure(.stranger)
        case .getPort(let mapping):
            decideLookup(of: mapping.program, over: mapping.transport ?? peer.transport, from: peer)
        case .getAddress(_, let rpcb), .getVersionAddress(let rpcb):
            decideLookup(of: rpcb.program, over: peer.transport, from: peer)
        case .getAddressList(let rpcb): decideLookup(of: rpcb.program, from: peer)
        case .dump: decideListing(from: peer)
        }
    }

    /// Whether the peer is on this host, or named by a rule.
    @inline(__always)
    func isKnown(_ peer: Peer) -> Bool { peer.isLocal || policy.lists(peer.address) }

    @inline(__always)
    private func decideLookup(
        of program: Program, over transport: Transport, from peer: Peer
    ) -> Result<Permission, DenialReason> {
        if peer.isLocal { return .success(.local) }
        if program == .portmapper { return policy.lists(peer.address) ? .success(.local) : .failure(.stranger) }
        switch policy.lookup(program, over: transport, by: peer.address) {
        case .permitted(let rule, let open):
            return .success(Permission(rule: policy.rules[rule].label, open: open))
        case .stranger: return .failure(.stranger)
        case .noRule: return .failure(.noRule)
        case .transport: return .failure(.transport)
        }
    }

    /// GETADDRLIST names one program, over all netids: it looks up the services that the client may use over any
    /// transport.
    private func decideLookup(of program: Program, from peer: Peer) -> Result<Permission, DenialReason> {
        let decisions = Transport.allCases.map { decideLookup(of: program, over: $0, from: peer) }
        for case .success(let permission) in decisions { return .success(permission) }
        return decisions[0]
    }

    @inline(__always)
    private func decideListing(from peer: Peer) -> Result<Permission, DenialReason> {
        if peer.isLocal { return .success(.local) }
        switch policy.listing(by: peer.address) {
        case .permitted where peer.transport == .udp && !settings.limits.listsOverUDP: return .failure(.listOverUDP)
        case .permitted(let rule):
            return .success(Permission(rule: policy.rules[rule].label, open: .never))
        case .stranger: return .failure(.stranger)
        case .noList: return .failure(.noList)
        }
    }

    /// Answers a call at once if rpcbind isn't needed for it; asks rpcbind otherwise.
    private mutating func begin(
        _ call: PortmapperCall, _ incoming: IncomingCall, _ permission: consuming Permission, at now: Instant,
        into actions: inout [Action]
    ) {
        let peer = incoming.peer
        let request = Exchange.Request(
            peer: peer, xid: incoming.xid, byteCount: incoming.byteCount, call: call, permission: permission)
        if let result = ownAnswer(to: call, asked: peer.asked) {
            return finish(request, result, at: now, into: &actions)
        }
        guard let question = question(for: call, from: peer) else {
            return finish(request, Self.notRegistered(call), at: now, into: &actions)
        }
        // A call that has the same key but asks another question is another call: sockets may share a port.
        if peer.transport == .udp, let id = underWay[CallKey(request)], let first = exchanges.request(of: id),
            first.call == call
        {
            counters.duplicates += 1
            return
        }
        guard takesPlace(for: peer) else {
            return deny(
                incoming, .rate, detail: "too many calls under way", isOwnDoing: false, at: now, into: &actions)
        }
        let id = exchanges.insert(Exchange(request: request))
        switch peer.transport {
        case .udp: underWay[CallKey(request)] = id
        case .tcp: connections.callBegan(peer.channel)
        }
        if case .registration = question { return actions.append(.inspectOwner(peer, exchange: id)) }
        ask(question, for: .exchange(id), at: now, into: &actions)
    }

    /// Counts the client's call if there is a place for it, and returns whether there is.
    private mutating func takesPlace(for peer: Peer) -> Bool {
        guard isAnyPlaceLeft(for: peer) else { return false }
        guard !peer.isLocal else {
            localExchanges[peer.transport] += 1
            return true
        }
        let caller = Caller(peer)
        guard let place = exchangesOfClient.index(forKey: caller) else {
            exchangesOfClient[caller] = 1
            return true
        }
        guard exchangesOfClient.values[place] < Self.exchangesPerClientMax else { return false }
        exchangesOfClient.values[place] += 1
        return true
    }

    /// Frees the place of a call that has ended.
    mutating func givePlaceBack(of peer: Peer) {
        guard !peer.isLocal else {
            localExchanges[peer.transport] -= 1
            return
        }
        guard let place = exchangesOfClient.index(forKey: Caller(peer)) else { return }
        if exchangesOfClient.values[place] > 1 {
            exchangesOfClient.values[place] -= 1
        } else {
            exchangesOfClient.remove(at: place)
        }
    }

    @inline(__always)
    private func isAnyPlaceLeft(for peer: Peer) -> Bool {
        switch (peer.isLocal, peer.transport) {
        case (true, .tcp): return localExchanges[.tcp] < Self.exchangesLocalOverTCPMax
        case (true, .udp): return localExchanges[.udp] < Self.exchangesLocalOverUDPMax
        case (false, _): break
        }
        let local = localExchanges[.tcp] + localExchanges[.udp]
        let isForgeable = peer.transport == .udp
        return exchanges.count - local < Self.exchangesMax - (isForgeable ? Self.exchangesTCPReserve : 0)
            && questions.count - local < Self.questionsMax - (isForgeable ? Self.questionsTCPReserve : 0)
    }

    /// The answer to NULL, and to a look-up of the portmapper itself: the address and port that were asked.
    private func ownAnswer(to call: PortmapperCall, asked: UniversalAddress) -> PortmapperResult? {
        switch call {
        case .null: .void
        case .getPort(let mapping) where mapping.program == .portmapper:
            .port(mapping.transport == nil ? 0 : UInt32(asked.port))
        case .getAddress(_, let rpcb) where rpcb.program == .portmapper: .address(asked.description)
        case .getVersionAddress(let rpcb) where rpcb.program == .portmapper:
            .address(PortmapperVersion(rawValue: rpcb.version) == nil ? "" : asked.description)
        case .getAddressList(let rpcb) where rpcb.program == .portmapper:
            .addressList(
                PortmapperVersion(rawValue: rpcb.version) == nil
                    ? []
                    : Transport.allCases.map { AddressEntry(NetID($0, isIPv4: asked.host.isIPv4), asked) })
        case .getPort, .getAddress, .getVersionAddress, .set, .unset, .setMapping, .unsetMapping, .dump, .callIt,
            .broadcast, .indirect, .getAddressList, .getTime, .universalToTransportAddress,
            .transportToUniversalAddress, .getStatistics:
            nil
        }
    }

    /// The question for rpcbind: of a look-up, only program, version and protocol go there.
    private func question(for call: PortmapperCall, from peer: Peer) -> Question? {
        switch call {
        case .getPort(let mapping):
            // rpcbind knows no other protocols.
            guard let transport = mapping.transport else { return nil }
            return lookup(mapping.program, mapping.version, over: NetID(transport, isIPv4: true))
        case .getAddress(_, let rpcb): return lookup(rpcb.program, rpcb.version, over: peer.netID)
        // GETPORT is of no use for GETVERSADDR: it falls back to other versions.
        case .getVersionAddress, .dump, .getAddressList: return .registry
        case .set, .unset, .setMapping, .unsetMapping: return .registration(call)
        case .null, .callIt, .broadcast, .indirect, .getTime, .universalToTransportAddress,
            .transportToUniversalAddress, .getStatistics:
            return nil
        }
    }

    /// GETPORT answers for IPv4 netids alone; over the unix socket rpcbind's GETADDR is of no use.
    private func lookup(_ program: Program, _ version: UInt32, over netID: NetID) -> Question {
        guard netID.isIPv4, let transport = netID.transport, !isVersion2ListMissing else { return .registry }
        return .port(
            Mapping(program: program, version: version, protocolNumber: UInt32(transport.rawValue), port: 0))
    }
}
