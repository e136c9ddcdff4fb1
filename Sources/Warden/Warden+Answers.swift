import Firewall
import ONCRPC
import Policy
import Portmapper

extension Warden {
    /// rpcbind answered a question, or failed to.
    public mutating func answered(
        _ question: Question, with answer: Result<PortmapperResult, RpcbindFailure>, at now: Instant,
        into actions: inout [Action]
    ) {
        let (served, isAskedAgain, latency) = questions.answered(question, at: now)
        if isAskedAgain { actions.append(.ask(question)) }
        note(answer, after: latency)
        defer { startInspection(into: &actions) }
        if question == .registry {
            noteReachability(answer, at: now, into: &actions)
            return registryAnswered(answer, served, at: now, into: &actions)
        }
        for case .exchange(let id) in served {
            switch answer {
            case .success(let result): resultArrived(id, result, at: now, into: &actions)
            case .failure(let failure):
                deny(id, .rpcbindDown, detail: failure.description, at: now, into: &actions)
            }
        }
    }

    private mutating func note(_ answer: Result<PortmapperResult, RpcbindFailure>, after latency: Duration?) {
        switch answer {
        case .success:
            if let latency { counters.upstreamLatency.observe(latency) }
        case .failure: counters.upstreamFailures += 1
        }
    }

    private mutating func noteReachability(
        _ answer: Result<PortmapperResult, RpcbindFailure>, at now: Instant, into actions: inout [Action]
    ) {
        switch answer {
        case .success:
            if isRpcbindUp != true { audit(AuditEvent(.rpcbindUp), at: now, into: &actions) }
            isRpcbindUp = true
        case .failure(let failure):
            if isRpcbindUp != false {
                audit(AuditEvent(.rpcbindDown, detail: failure.description), at: now, into: &actions)
            }
            isRpcbindUp = false
        }
    }

    private mutating func registryAnswered(
        _ answer: Result<PortmapperResult, RpcbindFailure>, _ askers: [Asker], at now: Instant,
        into actions: inout [Action]
    ) {
        guard case .success(.registrations(let list)) = answer else {
            for case .exchange(let id) in askers { deny(id, .rpcbindDown, at: now, into: &actions) }
            return
        }
        registryRead(list, for: askers, at: now, into: &actions)
    }

    private mutating func resultArrived(
        _ id: Exchange.ID, _ result: PortmapperResult, at now: Instant, into actions: inout [Action]
    ) {
        guard let request = exchanges.request(of: id) else { return }
        // What rpcbind says goes to this host as it is: local services need each other whoever owns them.
        guard !request.peer.isLocal else { return complete(id, result, at: now, into: &actions) }
        guard let service = service(in: result, for: request) else {
            return complete(id, Self.notRegistered(request.call), at: now, into: &actions)
        }
        explain(id, request, at: service, at: now, into: &actions)
    }

    /// The service port that the answer tells, `nil` where the program is not registered.
    private func service(in result: PortmapperResult, for request: Exchange.Request) -> ServicePort? {
        switch (result, request.call) {
        case (.port(let port), .getPort(let mapping)):
            guard let transport = mapping.transport, let port = UInt16(exactly: port), port != 0 else { return nil }
            return ServicePort(transport, port)
        case (.address(let text), _):
            guard let address = UniversalAddress(text), address.port != 0 else { return nil }
            return ServicePort(request.peer.transport, address.port)
        case (.void, _), (.boolean, _), (.mappings, _), (.registrations, _), (.addressList, _), (.port, _): return nil
        }
    }

    /// Finds the mapping that answered, whose owner must be trusted; reads the registry anew where it isn't known.
    mutating func explain(
        _ id: Exchange.ID, _ request: Exchange.Request, at service: ServicePort, at now: Instant,
        into actions: inout [Action]
    ) {
        guard let program = request.call.subject?.program else { return }
        guard let explanation = explanation(of: program, at: service, over: Self.answeringNetID(request)) else {
            guard exchanges[id]?.unexplained != nil else {
                exchanges.change(id) { $0.unexplained = service }
                return ask(.registry, for: .exchange(id), at: now, into: &actions)
            }
            return complete(id, Self.notRegistered(request.call), at: now, into: &actions)
        }
        let result = Self.result(of: request, at: service, explanation)
        guard explanation.isTrusted else {
            return deny(
                id, .untrustedOwner, answer: result,
                detail: "\(service) registered by \(explanation.mapping.owner)", at: now, into: &actions)
        }
        guard !settings.firewall.never.contains(service.port) else {
            return deny(id, .neverPort, answer: result, detail: "\(service)", at: now, into: &actions)
        }
        let opened = Exchange.Service(
            program: program, port: service, rule: request.permission.rule, open: request.permission.open)
        // What most calls come to: somebody asked before.
        if isOpen(opened, for: request.peer.address, over: request.peer.transport, at: now) {
            return complete(id, result, at: now, into: &actions)
        }
        exchanges.change(id) { ($0.result, $0.services) = (result, [opened]) }
        inspect(id, at: now, into: &actions)
    }

    /// The mapping that explains the answer: a trusted owner's, if there is one.
    private mutating func explanation(
        of program: Program, at service: ServicePort, over netID: NetID
    ) -> Explanation? {
        if let last = lastExplanation, last.program == program, last.service == service, last.netID == netID {
            return last
        }
        lastExplanation = nil
        for mapping in registry?.registrations(of: program) ?? []
        where mapping.netID == netID && mapping.service == service && !mapping.isForThisHostOnly {
            let isTrusted = trustedOwners.contains(mapping.owner)
            guard isTrusted || lastExplanation == nil else { continue }
            lastExplanation = Explanation(
                program: program, service: service, netID: netID, mapping: mapping, isTrusted: isTrusted)
            if isTrusted { break }
        }
        return lastExplanation
    }

    /// Version 2 answers from the IPv4 registrations, whatever it is asked over.
    private static func answeringNetID(_ request: Exchange.Request) -> NetID {
        switch request.call {
        case .getPort(let mapping): NetID(mapping.transport ?? request.peer.transport, isIPv4: true)
        case .getAddress, .getVersionAddress, .null, .setMapping, .unsetMapping, .set, .unset, .getAddressList, .dump,
            .callIt, .broadcast, .indirect, .getTime, .universalToTransportAddress, .transportToUniversalAddress,
            .getStatistics:
            request.peer.netID
        }
    }

    /// The reply, with an address that the client can use: the one it asked, unless the service has one of its own.
    private static func result(
        of request: Exchange.Request, at service: ServicePort, _ explanation: Explanation
    ) -> PortmapperResult {
        if case .getPort = request.call { return .port(UInt32(service.port)) }
        let host = explanation.mapping.reachableHost(asked: request.peer.asked.host)
        return .address(UniversalAddress(host: host, port: service.port).description)
    }

    /// The reply is known and nothing has to be opened for it.
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
        if let place = exchangesOfClient.index(forKey: Caller(request.peer)) {
            if exchangesOfClient.values[place] > 1 {
                exchangesOfClient.values[place] -= 1
            } else {
                exchangesOfClient.remove(at: place)
            }
        }
        if request.peer.transport == .udp { underWay[CallKey(request)] = nil }
        return request
    }
}

extension Registration {
    /// The address by which a client that asked `asked` reaches the service.
    func reachableHost(asked: IPAddress) -> IPAddress {
        guard let host = address?.host, !host.isUnspecified, !host.isLoopback else { return asked }
        return host
    }
}
