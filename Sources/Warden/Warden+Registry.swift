import Firewall
import ONCRPC
import Policy
import Portmapper

extension Warden {
    /// rpcbind listed its registrations, for these askers.
    mutating func registryRead(
        _ list: [RPCB], for askers: [Asker], at now: Instant, into actions: inout [Action]
    ) {
        // Mostly it is the same again, and needn't be parsed.
        var isDue = registry == nil || list != registryList
        if isDue { registryReplaced(by: list, at: now, into: &actions) }
        for asker in askers {
            switch asker {
            case .refresh: isDue = true
            case .exchange(let id):
                // A list opens nothing: it needn't know who listens.
                if case .dump? = exchanges.request(of: id)?.call {
                    registryExplained(id, at: now, into: &actions)
                } else {
                    nextInspection.readers.append(id)
                    isDue = true
                }
            }
        }
        guard isDue else { return }
        nextInspection.services.formUnion(services.programs.keys)
        nextInspection.isDue = true
    }

    private mutating func registryReplaced(by list: [RPCB], at now: Instant, into actions: inout [Action]) {
        registryList = list
        let fresh = Registry(list)
        guard fresh != registry else { return }
        auditChanges(from: registry, to: fresh, at: now, into: &actions)
        registry = fresh
        if services.registryRead(fresh, trusted: trustedOwners) { areServicesSettled = false }
    }

    /// The listeners were looked up, as the first of the looks under way asked for; `nil`: they couldn't be.
    public mutating func listenersInspected(
        _ states: [ServicePort: ListenerState]?, at now: Instant, into actions: inout [Action]
    ) {
        if let states, services.listenersInspected(states) { areServicesSettled = false }
        settleServices(at: now, into: &actions)
        guard !inspections.isEmpty else { return }
        let inspection = inspections.removeFirst()
        for id in inspection.readers { registryExplained(id, at: now, into: &actions) }
        for id in inspection.openers {
            if states == nil {
                deny(id, .firewallFailed, detail: "listening sockets can't be looked up", at: now, into: &actions)
            } else {
                open(id, at: now, into: &actions)
            }
        }
        startInspection(into: &actions)
    }

    private mutating func registryExplained(_ id: Exchange.ID, at now: Instant, into actions: inout [Action]) {
        guard let exchange = exchanges[id] else { return }
        let request = exchange.request
        switch request.call {
        case .dump, .getAddressList: list(id, request, at: now, into: &actions)
        case .null, .setMapping, .unsetMapping, .getPort, .set, .unset, .getAddress, .getVersionAddress, .callIt,
            .broadcast, .indirect, .getTime, .universalToTransportAddress, .transportToUniversalAddress,
            .getStatistics:
            guard let service = exchange.unexplained else { return deny(id, .rpcbindDown, at: now, into: &actions) }
            explain(id, request, at: service, at: now, into: &actions)
        }
    }

    /// Brings guard, standing elements and grants in line with registry, listeners and policy.
    mutating func settleServices(at now: Instant, into actions: inout [Action]) {
        guard !areServicesSettled, registry != nil else { return }
        areServicesSettled = true
        savingMark += 1
        let stale = services.programs.keys.filter { services.listeners[$0]?.isListening == false }
        for service in stale.sorted() where !staleLogged.contains(service) {
            var event = AuditEvent(.staleRegistration, detail: "nothing listens at \(service)")
            event.program = services.programs[service]?.min()
            event.programName = event.program.flatMap(names.name)
            audit(event, at: now, into: &actions)
        }
        staleLogged = Set(stale)
        for service in services.updateGuards(never: settings.firewall.never) {
            for clients in [AddressRange.allIPv4, .allIPv6] { actions.append(.cutFlows(clients, service)) }
        }
        writer.desire(elements())
        revokeBaseless()
    }

    func elements() -> TableWriter.Elements {
        let never = settings.firewall.never
        var elements = TableWriter.Elements(guarded: services.guarded.filter { !never.contains($0.port) })
        for range in settings.firewall.guardPorts {
            for port in range.ports where !never.contains(port) {
                elements.guarded.insert(ServicePort(range.transport, port))
            }
        }
        elements.standing.formUnion(admitted)
        for service in services.guarded {
            for clients in standingClients(of: service) {
                elements.standing.insert(StandingKey(clients: clients, service: service))
            }
        }
        return elements
    }

    /// Disjoint ranges: the kernel's interval sets take no overlaps.
    private func standingClients(of service: ServicePort) -> [AddressRange] {
        let programs = services.programs[service] ?? []
        let ranges = programs.flatMap { policy.standing($0, over: service.transport) }
        let kept = (unjudged.standing[service] ?? []).filter { clients in
            programs.contains { pending.mayStand(clients, $0, over: service.transport) }
        }
        return programs.count == 1 && kept.isEmpty ? ranges : AddressRange.union(ranges + kept)
    }

    private mutating func auditChanges(
        from old: Registry?, to new: Registry, at now: Instant, into actions: inout [Action]
    ) {
        let before = Set(old?.registrations ?? [])
        let after = Set(new.registrations)
        for registration in new.registrations where !before.contains(registration) {
            guard registration.program != .portmapper, registration.service != nil else { continue }
            let isTrusted = trustedOwners.contains(registration.owner)
            if isTrusted, old == nil { continue }
            let kind: AuditEvent.Kind = isTrusted ? .registered : .untrustedRegistration
            audit(event(kind, registration), at: now, into: &actions)
        }
        for registration in old?.registrations ?? [] where !after.contains(registration) {
            guard registration.program != .portmapper, registration.service != nil else { continue }
            audit(event(.unregistered, registration), at: now, into: &actions)
        }
    }

    private func event(_ kind: AuditEvent.Kind, _ registration: Registration) -> AuditEvent {
        var event = AuditEvent(kind)
        event.program = registration.program
        event.programName = names.name(of: registration.program)
        event.version = registration.version
        let place = registration.service.map(String.init(describing:)) ?? registration.addressText
        event.detail = "\(place) (\(registration.netID.rawValue)) by \(registration.owner)"
        return event
    }
}

extension AddressRange {
    /// The same addresses as disjoint ranges, ascending; adjacent ones are merged.
    static func union(_ ranges: [AddressRange]) -> [AddressRange] {
        var result: [AddressRange] = []
        for range in ranges.sorted() {
            guard let last = result.last, last.reaches(range) else {
                result.append(range)
                continue
            }
            result[result.count - 1] = AddressRange(last.first, max(last.last, range.last))
        }
        return result
    }

    /// Whether `later`, which starts no earlier, overlaps this range or follows it without a gap.
    private func reaches(_ later: AddressRange) -> Bool {
        switch (last, later.first) {
        case (.v4(let end), .v4(let start)): start <= end || start == end.successor
        case (.v6(let end), .v6(let start)): start <= end || start == end.successor
        case (.v4, .v6), (.v6, .v4): false
        }
    }
}
