import Addresses
import AuditTrail
import Clock
import Firewall
import ONCRPC
import Policy
import Portmapper

extension Warden {
    /// rpcbind listed its registrations, for these askers.
    mutating func registryRead(
        _ listing: Listing, for askers: [Asker], at now: Instant, into actions: inout [Action]
    ) {
        // Most listings equal the last one, and needn't be parsed.
        var isDue = registry == nil || listing != registryListing
        if isDue { registryReplaced(by: listing, at: now, into: &actions) }
        for asker in askers {
            switch asker {
            case .refresh: isDue = true
            case .survey, .version2Check: break
            case .exchange(let id):
                // A list opens nothing, so the listeners needn't be known.
                if case .dump? = exchanges.request(of: id)?.call {
                    registryArrived(id, at: now, into: &actions)
                } else {
                    nextInspection.readers.append(id)
                    isDue = true
                }
            }
        }
        if isDue { inspectAll() }
    }

    /// Adds the listeners of all watched ports to the next look.
    mutating func inspectAll() {
        nextInspection.services.formUnion(services.watched)
        nextInspection.isDue = true
    }

    private mutating func registryReplaced(by listing: Listing, at now: Instant, into actions: inout [Action]) {
        registryListing = listing
        let fresh = Registry(listing.registrations)
        guard fresh != registry else { return }
        auditChanges(from: registry, to: fresh, at: now, into: &actions)
        registry = fresh
        if services.registryRead(fresh, trusted: trustedOwners, at: now) { areServicesSettled = false }
    }

    /// The result of the first of the looks under way; `nil`: the listeners couldn't be inspected.
    public mutating func listenersInspected(
        _ states: [ServicePort: ListenerState]?, at now: Instant, into actions: inout [Action]
    ) {
        if let states, services.listenersInspected(states, at: now) { areServicesSettled = false }
        settleServices(at: now, into: &actions)
        guard !inspections.isEmpty else { return }
        let inspection = inspections.removeFirst()
        for id in inspection.readers { registryArrived(id, at: now, into: &actions) }
        for id in inspection.openers {
            if states == nil {
                deny(id, .firewallFailed, detail: "listening sockets can't be looked up", at: now, into: &actions)
            } else {
                open(id, at: now, into: &actions)
            }
        }
        startInspection(into: &actions)
    }

    private mutating func registryArrived(_ id: Exchange.ID, at now: Instant, into actions: inout [Action]) {
        guard let exchange = exchanges[id] else { return }
        let request = exchange.request
        switch request.call.kind {
        case .listing: list(id, request, at: now, into: &actions)
        case .lookup where request.call.procedureName == .getAddressList: list(id, request, at: now, into: &actions)
        case .lookup: lookUpInRegistry(id, request, exchange.unmatched, at: now, into: &actions)
        case .null, .registration, .remote, .unserved: deny(id, .rpcbindDown, at: now, into: &actions)
        }
    }

    /// Brings guard, standing elements and grants in line with registry, listeners and policy.
    mutating func settleServices(at now: Instant, into actions: inout [Action]) {
        guard !areServicesSettled, registry != nil else { return }
        areServicesSettled = true
        savingMark += 1
        auditStale(at: now, into: &actions)
        auditOrphans(at: now, into: &actions)
        for (service, kept) in services.updateGuards(never: settings.firewall.never) {
            for clients in clientsLosing(service, keeping: kept) { actions.append(.cutFlows(clients, service)) }
        }
        writer.desire(elements())
        revokeBaseless()
    }

    private mutating func auditStale(at now: Instant, into actions: inout [Action]) {
        let stale = services.programs.keys.filter { services.isListening($0) == false }
        for service in stale.sorted() where !staleLogged.contains(service) {
            let foreign = services.foreignOwners(at: service).map(String.init).joined(separator: ", ")
            let detail = foreign.isEmpty ? "nothing listens at \(service)" : "\(service) is held by uid \(foreign)"
            var event = AuditEvent(.staleRegistration, detail: detail)
            event.program = services.programs[service]?.min()
            event.programName = event.program.flatMap(names.name)
            audit(event, at: now, into: &actions)
        }
        staleLogged = Set(stale)
    }

    private mutating func auditOrphans(at now: Instant, into actions: inout [Action]) {
        let orphans = services.orphans.filter(\.value.isConfirmed)
        for service in orphans.keys.sorted() where !orphansLogged.contains(service) {
            var event = AuditEvent(
                .orphaned, detail: "\(service) is no longer registered, but its socket still listens: it stays guarded")
            event.program = orphans[service]?.programs.min()
            event.programName = event.program.flatMap(names.name)
            audit(event, at: now, into: &actions)
        }
        orphansLogged = Set(orphans.keys)
    }

    /// The clients that lose their flows to the port, as it belongs to other programs now: all except the ones
    /// that a kept program admits.
    private func clientsLosing(_ service: ServicePort, keeping kept: Set<Program>) -> [AddressRange] {
        let all = [AddressRange.allIPv4, .allIPv6]
        guard !kept.isEmpty else { return all }
        var admitted = kept.flatMap { policy.standing($0, over: service.transport) }
        for (key, grant) in ledger.all where key.service == service && grant.programs.contains(where: kept.contains) {
            admitted.append(AddressRange(key.client, key.client))
        }
        for (key, entry) in memory.entries
        where key.service == service && entry.programs.contains(where: kept.contains) {
            admitted.append(AddressRange(key.client, key.client))
        }
        return all.subtracting(admitted)
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
        let programs = services.programs(at: service)
        let ranges = programs.flatMap { policy.standing($0, over: service.transport) }
        let kept = (unjudged.standing[service] ?? []).filter { clients in
            programs.contains { pending.mayStand(clients, $0, over: service.transport) }
        }
        return programs.count == 1 && kept.isEmpty ? ranges : (ranges + kept).union
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
        auditUnguardable(in: new, at: now, into: &actions)
    }

    private mutating func auditUnguardable(in registry: Registry, at now: Instant, into actions: inout [Action]) {
        for rpcb in registry.unguardable where !unguardableLogged.contains(rpcb) {
            var event = AuditEvent(
                .unguardable,
                detail: "\(rpcb.netID) at \(rpcb.address): no packet filter sees it")
            event.program = rpcb.program
            event.programName = names.name(of: rpcb.program)
            event.version = rpcb.version
            audit(event, at: now, into: &actions)
        }
        unguardableLogged = Set(registry.unguardable)
    }

    /// The way to make the owner trusted, which a uid can be. `unknown` is any user that came over loopback.
    private static func remedy(_ owner: String) -> String {
        UInt32(owner) == nil ? "" : "; trusted if rpcbind.owners has \"\(owner)\""
    }

    private func event(_ kind: AuditEvent.Kind, _ registration: Registration) -> AuditEvent {
        var event = AuditEvent(kind)
        event.program = registration.program
        event.programName = names.name(of: registration.program)
        event.version = registration.version
        let place = registration.service.map(String.init(describing:)) ?? registration.addressText
        event.detail = "\(place) (\(registration.netID.rawValue)) by \(registration.owner)"
        if kind == .untrustedRegistration { event.detail? += Self.remedy(registration.owner) }
        return event
    }
}
