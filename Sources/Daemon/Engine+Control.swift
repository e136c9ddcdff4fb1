import Addresses
import AuditTrail
import Clock
import Control
import Firewall
import Glibc
import NIOCore
import Warden

extension Engine {
    /// Answers a call on the control socket.
    func answer(_ call: ControlCall) -> EventLoopFuture<ControlReply> {
        let reply: ControlReply
        switch call.command {
        case .status: reply = ControlReply(status: status())
        case .grants: reply = grants()
        case .registry: reply = registry()
        case .denials: reply = denials(since: call.since)
        case .revoke: reply = revoke(call)
        case .activity: reply = activity(call)
        case .release: reply = release(call)
        case .reload:
            return refresh().map { ControlReply(changes: $0) }.flatMapErrorThrowing { ControlReply(failure: "\($0)") }
        case .stop: reply = stop(opening: call.opens ?? false)
        }
        return loop.makeSucceededFuture(reply)
    }

    /// The reply leaves before the signal is handled, since the handler waits for the event loop.
    private func stop(opening: Bool) -> ControlReply {
        var change = Self.guardStays
        if opening {
            if let failure = open() {
                return ControlReply(failure: "nothing was opened, and the daemon goes on: \(failure.message)")
            }
            change = Self.nothingGuarded
        }
        stop(change)
        kill(getpid(), SIGTERM)
        return ControlReply(changes: ["stopped: \(change)"])
    }

    private func status() -> StatusReport {
        let counters = warden.counters
        var counts = [
            "calls": counters.calls, "permitted": counters.permitted, "malformed": counters.malformed,
            "duplicates": counters.duplicates, "granted": counters.granted, "renewed": counters.renewed,
            "expired": counters.expired, "revoked": counters.revoked, "commits": counters.commits,
            "commit_failures": counters.commitFailures, "grants": warden.grantCount,
            "connections": warden.connectionCount, "connections_crowded_out": counters.crowdedOut,
            "audit_suppressed": counters.suppressed, "audit_lost": auditLost,
            "denied": counters.denied.values.reduce(0, +),
        ]
        for (reason, count) in counters.denied { counts["denied_" + reason.countName] = count }
        let uptime = (HostClock.now() - startedAt).nanoseconds / 1_000_000_000
        return StatusReport(
            mode: warden.settings.mode.rawValue, uptime: Int(uptime), version: Version.text,
            rpcbind: .init(
                reachable: warden.isRpcbindUp == true, registrations: warden.registry?.registrations.count ?? 0),
            table: .init(
                name: warden.settings.firewall.table, intact: isTableIntact(), guarded: warden.guardedServices.count),
            policy: .init(path: warden.settings.policyPath, rules: warden.policy.rules.count), counts: counts)
    }

    /// Whether the table exists and guards exactly the ports that the Warden guards.
    private func isTableIntact() -> Bool {
        do {
            guard let contents = try tableContents() else { return false }
            return warden.isGuarding && contents.guarded == warden.guardedServices
        } catch {
            failed("\(error)")
            return false
        }
    }

    private func grants() -> ControlReply {
        do {
            let now = HostClock.wallClock()
            let elements = try tableContents()?.granted ?? []
            return ControlReply(grants: elements.sorted { $0.key < $1.key }.map { row($0, at: now) })
        } catch {
            return ControlReply(failure: "the kernel's table can't be read: \(error)")
        }
    }

    private func row(_ element: GrantElement, at now: Timestamp) -> GrantRow {
        let note = GrantNote(element.comment)
        let known = warden.grant(element.key)
        let program = known?.programs.least ?? note?.program
        return GrantRow(
            client: "\(element.key.client)", transport: "\(element.key.service.transport)",
            port: element.key.service.port, program: program?.rawValue, programName: program.flatMap(names.name),
            rule: known?.rule ?? note?.rule, issued: (known?.issued ?? note?.issued)?.description,
            expires: (now + element.expiresIn).description, packets: element.packets)
    }

    /// Listeners of untrusted registrations are looked up when the listing is requested.
    private func registry() -> ControlReply {
        let entries = warden.registryEntries
        // For trusted registrations the Warden itself knows whether a socket listens.
        let others = entries.filter { !$0.isTrusted }.compactMap(\.service)
        let states = inspect(Set(others)) ?? [:]
        return ControlReply(
            registry: entries.map { entry in
                let state = entry.isTrusted ? nil : entry.service.flatMap { states[$0] }
                return row(entry, isAlive: state?.isListening ?? entry.isAlive)
            })
    }

    private func row(_ entry: Warden.RegistryEntry, isAlive: Bool) -> RegistryRow {
        var row = RegistryRow(
            program: entry.program.rawValue, programName: names.name(of: entry.program), version: entry.version,
            netid: entry.netID, address: entry.address, owner: entry.owner, trusted: entry.isTrusted, alive: isAlive,
            guarded: entry.isGuarded, orphaned: entry.isOrphaned, guardable: entry.isGuardable)
        if !entry.sharesPortWith.isEmpty { row.sharesPortWith = entry.sharesPortWith.map(\.rawValue) }
        return row
    }

    private func denials(since seconds: Int?) -> ControlReply {
        let now = HostClock.now()
        let start = seconds.map { now + .seconds(-max(0, $0)) } ?? .zero
        return ControlReply(
            denials: warden.denialEntries(since: start).map { entry in
                DenialRow(
                    client: "\(entry.client)", reasons: entry.reasons.map(\.rawValue),
                    programs: entry.programs.map(\.rawValue), count: entry.count,
                    first: warden.wallClock(at: entry.first).description,
                    last: warden.wallClock(at: entry.last).description, quarantined: entry.isQuarantined)
            })
    }

    private func release(_ call: ControlCall) -> ControlReply {
        guard let client = call.client.flatMap(IPAddress.init) else {
            return ControlReply(failure: Self.notAnAddress(call.client))
        }
        var wasQuarantined = false
        handle { wasQuarantined = $0.release(client: client, at: $1, into: &$2) }
        return ControlReply(changes: wasQuarantined ? ["released: \(client)"] : [])
    }

    private static func notAnAddress(_ text: String?) -> String {
        "not an address: \"\(text ?? "")\"; give the client's IPv4 or IPv6 address"
    }

    private func revoke(_ call: ControlCall) -> ControlReply {
        guard let client = call.client.flatMap(IPAddress.init) else {
            return ControlReply(failure: Self.notAnAddress(call.client))
        }
        var transport: Transport?
        if let name = call.transport {
            transport = Transport(name: name)
            if transport == nil { return ControlReply(failure: "not a transport: \"\(name)\"; use tcp or udp") }
        }
        var revocation = Revocation()
        handle { revocation = $0.revoke(client: client, port: call.port, transport: transport, at: $1, into: &$2) }
        return ControlReply(
            changes: revocation.grants.map { "revoked: \($0.client) \($0.service)" }
                + revocation.admissions.map(stillAdmitted))
    }

    private func stillAdmitted(_ admission: Revocation.Admission) -> String {
        let number = admission.program.rawValue
        let program = names.name(of: admission.program).map { "\($0) (\(number))" } ?? String(number)
        return "still admitted: \(program) at \(admission.service), by \(admission.rule), open: always"
    }
}

extension DenialReason {
    fileprivate var countName: String { rawValue.split(separator: "-").joined(separator: "_") }
}
