import Addresses
import AuditTrail
import Clock
import Firewall
import FleetRecords
import Gate
import Policy
import Sharing
import Upstream
import Watch

/// What this node and the others of its pair tell each other about grants. Nothing that answers a client waits for it,
/// and what another node says opens only what this node's policy, registry and listeners permit.
extension Warden {
    /// What the grant is to other nodes: they have ports of their own. Callbacks are this node's alone.
    private func shared(_ key: GrantKey, _ program: Program) -> SharedGrant {
        SharedGrant(key.client, program, key.service.transport, server: servers.host(of: key.service.server))
    }

    private func shared(_ key: GrantKey, _ grant: Grant) -> [SharedGrant] {
        grant.programs.all.map { shared(key, $0) }
    }

    /// What is over for other nodes when the grant goes. The versions of a program may have several ports, which are one
    /// to other nodes: while the client holds another of them, nothing is over. A copy is no substitute for this node's own.
    private func over(_ key: GrantKey, _ grant: Grant) -> [SharedGrant] {
        let others = held(by: key.client) { $0 != key && !$1.isUnproven && (!$1.isCopy || grant.isCopy) }
        return shared(key, grant).filter { !others.contains($0) }
    }

    /// What the client holds here, as other nodes know it.
    private func held(by client: IPAddress, where isMeant: (GrantKey, Grant) -> Bool) -> Set<SharedGrant> {
        gate.grants(of: client).reduce(into: []) { held, key in
            guard !key.service.server.isCallback, let grant = gate[key], isMeant(key, grant) else { return }
            held.formUnion(shared(key, grant))
        }
    }

    private func tell(_ messages: [DaemonMessage], into actions: inout [Action]) {
        for message in messages { actions.append(.tellFleet(message)) }
    }

    // MARK: What happens to this node's grants

    mutating func shareIssued(_ issued: Gate.Issued, at now: Instant, into actions: inout [Action]) {
        let key = issued.key
        guard sharing.isOn, !key.service.server.isCallback else { return }
        let grant = shared(key, issued.program)
        guard !issued.isCopy else {
            let origin = GrantNote.origin(ofRule: issued.grant.rule)
            if !sharing.copied(key, grant, from: origin, issued: issued.grant.issued, at: now) {
                gate.revoke(key, .byNode)
            }
            return
        }
        guard !issued.grant.isUnproven else { return sharing.issuedUnproven(key, at: now) }
        // The note of a new grant tells whole seconds.
        let since =
            issued.isRenewal && sharing.copy(key) == nil ? issued.grant.issued : journal.wallClock(at: now)
        let messages = sharing.issued(
            key, grant, rule: issued.grant.rule, issued: since, used: lastUse(of: issued.grant, at: now),
            isDoubted: issued.isDoubted, at: now)
        tell(messages, into: &actions)
    }

    /// The grant ends `keep` after its last use, or sooner: that is no later than this.
    private func lastUse(of grant: Grant, at now: Instant) -> Timestamp {
        journal.wallClock(at: now) + (grant.expiresNotBefore - now - rules.settings.firewall.keep)
    }

    mutating func shareRevoked(_ revoked: Gate.Revoked, at now: Instant, into actions: inout [Action]) {
        let key = revoked.key
        guard sharing.isOn, let grant = revoked.grant, !key.service.server.isCallback else { return }
        // Nobody was told of it, but by an operator who ended it.
        guard !grant.isUnproven else { return unprovenEnded(key, grant) }
        let wallClock = journal.wallClock(at: now)
        switch revoked.cause {
        // Told when the operator asked.
        case .byOperator?, .byOrder?, .byNode?: break
        case .notPermitted?:
            for shared in over(key, grant) {
                tell(sharing.ended(shared, .policy, isOwn: !grant.isCopy, at: now, wallClock), into: &actions)
            }
        case .notRegistered?:
            for shared in over(key, grant) {
                let (record, _) = record(key, grant, shared, at: now)
                tell(sharing.lostService(key, shared, record, endsAt: grant.expiresNotBefore), into: &actions)
            }
        case .limit?, .ofOwnClients?, nil: tell(sharing.expired(key, over(key, grant)), into: &actions)
        }
        sharing.forget(key)
    }

    mutating func shareExpired(_ key: GrantKey, _ grant: Grant, into actions: inout [Action]) {
        guard sharing.isOn, !key.service.server.isCallback else { return }
        guard !grant.isUnproven else { return unprovenEnded(key, grant) }
        tell(sharing.expired(key, over(key, grant)), into: &actions)
    }

    /// What another node has of the client may have waited for it.
    private mutating func unprovenEnded(_ key: GrantKey, _ grant: Grant) {
        sharing.forget(key)
        for shared in shared(key, grant) { sharing.open(WaitingGrants.Place(shared)) }
    }

    /// The kernel told the remaining lives of grants: a longer one than was known tells a use.
    mutating func shareUses(
        _ keys: [GrantKey], _ found: [GrantKey: Duration], at now: Instant, into actions: inout [Action]
    ) {
        guard sharing.isOn else { return }
        let wallClock = journal.wallClock(at: now)
        for key in keys {
            guard let left = found[key], let grant = gate[key], !key.service.server.isCallback else { continue }
            let isUsed = now + left > grant.expiresNotBefore + Self.useTolerance
            let idle = max(.zero, rules.settings.firewall.keep - left)
            let age = Duration.milliseconds(wallClock.milliseconds - grant.issued.milliseconds)
            let used = isUsed ? Timestamp(milliseconds: wallClock.milliseconds - idle.nanoseconds / 1_000_000) : nil
            if let used, grant.isUnproven { shareProven(key, grant, used: used, at: now, into: &actions) }
            tell(sharing.looked(at: key, shared(key, grant), used: used, age: age, at: now), into: &actions)
        }
    }

    /// A packet of the client has used what a call over UDP opened.
    private mutating func shareProven(
        _ key: GrantKey, _ grant: Grant, used: Timestamp, at now: Instant, into actions: inout [Action]
    ) {
        for shared in shared(key, grant) {
            let messages = sharing.issued(
                key, shared, rule: grant.rule, issued: grant.issued, used: used, isDoubted: true, at: now)
            tell(messages, into: &actions)
        }
    }

    /// The kernel counts in its own clock.
    private static let useTolerance = Duration.milliseconds(100)

    /// - Parameters:
    ///   - server: the one that is meant; `nil`: all.
    ///   - isOfAll: whether what waits for a port is meant, too.
    ///   - order: when it was ordered: then each node ends by itself what was issued before.
    mutating func shareRevocation(
        of client: IPAddress, transport: Transport?, at server: ServerNumber?, _ keys: [GrantKey],
        remembered: [(key: GrantKey, programs: Programs)], isOfAll: Bool, order: Timestamp?, at now: Instant,
        into actions: inout [Action], isMeant: (GrantKey) -> Bool
    ) {
        guard sharing.isOn else { return }
        var grants: Set<SharedGrant> = []
        for key in keys where !key.service.server.isCallback {
            grants.formUnion(gate[key].map { shared(key, $0) } ?? [])
        }
        for (key, programs) in remembered { grants.formUnion(programs.all.map { shared(key, $0) }) }
        let wallClock = journal.wallClock(at: now)
        grants.formUnion(sharing.arriving(endedAt: order ?? wallClock, wallClock, isMeant))
        if isOfAll {
            let waiting = sharing.waiting.grants(of: client, endedAt: order ?? wallClock, wallClock)
            grants.formUnion(
                waiting.filter { grant in
                    (transport == nil || grant.transport == transport)
                        && (server == nil || servers.id(of: grant.server).map { servers.number(of: $0) } == server)
                })
        }
        // What was issued since an order stays.
        if order != nil { grants.subtract(held(by: client) { !$1.isCopy && !keys.contains($0) }) }
        for grant in grants.sorted() {
            let messages = sharing.ended(grant, .revoked, at: now, order ?? wallClock)
            tell(order == nil ? messages : [.expired(grant)], into: &actions)
        }
    }

    mutating func advanceSharing(to now: Instant, into actions: inout [Action]) {
        guard sharing.isOn else { return }
        tell(sharing.timeAdvanced(to: now), into: &actions)
        if sharing.seeksRoom(at: now), gate.hasRoomForCopy { sharing.openCrowded() }
        openSome(at: now)
        let looks = sharing.takeLooks(at: now).filter { gate[$0] != nil }
        if !looks.isEmpty { actions.append(.inspectGrants(looks)) }
    }

    /// An earlier run left grants; some were copies.
    mutating func shareAdopted(at now: Instant) {
        guard sharing.isOn else { return }
        for (key, grant) in gate.grants where !key.service.server.isCallback {
            _ = sharing.copied(
                key, shared(key, grant.programs.least), from: GrantNote.origin(ofRule: grant.rule),
                issued: grant.issued,
                at: now)
        }
    }

    // MARK: What other nodes say

    /// Another node's grant. Call ``flush(at:into:)`` after the last of a group.
    public mutating func grantOffered(_ offer: GrantOffer, at now: Instant, into actions: inout [Action]) {
        guard let life = sharing.life(of: offer, journal.wallClock(at: now)),
            let id = servers.id(of: offer.grant.server), permits(offer.grant, at: id)
        else { return }
        let server = servers.number(of: id)
        let ports = servers[server].upstream.services
            .ports(of: offer.grant.program, over: offer.grant.transport, at: id)
        let entry = WaitingGrants.Entry(origin: offer.origin, issued: offer.issued, end: now + life)
        guard !copy(offer.grant, entry, to: ports, at: now) else { return }
        sharing.wait(offer.grant, entry)
        // A server's services aren't looked at all the time.
        guard server != 0, !ports.isEmpty else { return }
        look(at: ports, of: server, for: offer.grant.program)
        startLook(at: server, into: &actions)
    }

    private mutating func look(at ports: [ServicePort], of server: ServerNumber, for program: Program) {
        servers[server].upstream.look(
            at: ports.map { ServiceOpening(program: program, port: $0, rule: nil, open: .onLookup) })
    }

    /// Whether this node's policy opens the program's port on a look-up. What it always opens needs no copy.
    private func permits(_ grant: SharedGrant, at server: ServerID) -> Bool {
        // The kernel's process would refuse it, and a refusal has the table made anew.
        guard servers.host(of: server).map({ $0.isIPv4 == grant.client.isIPv4 }) ?? true else { return false }
        let service = ServicePort(grant.transport, 0, at: server)
        let opening = servers.rules(about: servers.number(of: server)).newOpening(
            grant.program, at: service, for: grant.client)
        return opening?.open == .onLookup
    }

    /// Opens the ports that are alive.
    /// - Returns: false if none is, if there is no room, or if a forged call may have opened one for a short while: the
    ///   grant has to wait.
    private mutating func copy(
        _ grant: SharedGrant, _ entry: WaitingGrants.Entry, to ports: [ServicePort], hasLooked: Bool = false,
        at now: Instant
    ) -> Bool {
        var (isAlive, isFull, isDoubtful) = (false, false, false)
        for port in ports where servers.isAlive(port, ipv4: grant.client.isIPv4) {
            let rules = servers.rules(about: servers.number(of: port.server))
            guard !rules.spares(port), let opening = rules.newOpening(grant.program, at: port, for: grant.client),
                opening.open == .onLookup
            else { continue }
            isAlive = true
            let key = GrantKey(client: grant.client, service: port)
            // A grant of this node's own client is never touched.
            if let own = gate[key], !own.isCopy {
                isDoubtful = isDoubtful || own.isUnproven
                continue
            }
            let copying = gate.copy(
                opening, of: grant.client, from: entry.origin, issued: entry.issued, life: entry.end - now,
                isLater: sharing.isLater(grant, entry, than: key), hasLooked: hasLooked, at: now)
            switch copying {
            case .taken: sharing.copying(key, grant, entry)
            case .looks: sharing.renew(key, grant, entry, at: now)
            case .full: isFull = true
            case .left: break
            }
        }
        if isFull { sharing.foundNoRoom(for: grant, at: now) }
        return isAlive && !isFull && !isDoubtful
    }

    /// The kernel told how long copies live: the offers that would prolong them are decided now.
    mutating func renewCopies(
        _ renewals: [(key: GrantKey, grant: SharedGrant, entry: WaitingGrants.Entry)], at now: Instant
    ) {
        for (key, grant, entry) in renewals where entry.end > now {
            if !copy(grant, entry, to: [key.service], hasLooked: true, at: now), gate[key]?.isUnproven ?? true {
                sharing.wait(grant, entry)
            }
        }
    }

    /// Listeners or registrations are others than before: what waited for them comes to life.
    mutating func openWaiting(at server: ServerNumber, at now: Instant) {
        guard !sharing.waiting.isEmpty else { return }
        for (place, ports) in waitingPorts(of: server) {
            let isAlive = ports.contains { port in
                [true, false].contains { servers[server].upstream.services.isAlive(port, ipv4: $0) }
            }
            if isAlive { sharing.open(place) }
        }
        openSome(at: now)
    }

    /// The services of a server for which grants wait are called with each reading of its registry.
    mutating func lookForWaiting(at server: ServerNumber) {
        guard server != 0, !sharing.waiting.isEmpty else { return }
        for (place, ports) in waitingPorts(of: server) { look(at: ports, of: server, for: place.program) }
    }

    /// The registered ones.
    private func waitingPorts(of server: ServerNumber) -> [(place: WaitingGrants.Place, ports: [ServicePort])] {
        sharing.waiting.places.compactMap { place in
            guard let id = servers.id(of: place.server), servers.number(of: id) == server else { return nil }
            let ports = servers[server].upstream.services.ports(of: place.program, over: place.transport, at: id)
            return ports.isEmpty ? nil : (place, ports)
        }
    }

    private mutating func openSome(at now: Instant) {
        for (grant, entry) in sharing.takeOpening() {
            guard let id = servers.id(of: grant.server), permits(grant, at: id), entry.end > now else {
                sharing.removeWaiting(grant)
                continue
            }
            let ports = servers[servers.number(of: id)].upstream.services
                .ports(of: grant.program, over: grant.transport, at: id)
            if copy(grant, entry, to: ports, at: now) { sharing.removeWaiting(grant) }
        }
    }

    /// Other nodes ended these grants: their copies here end, with their flows. What this node's own clients have, or had,
    /// stays.
    public mutating func copiesEnded(_ grants: [SharedGrant], at now: Instant, into actions: inout [Action]) {
        guard sharing.isOn, !grants.isEmpty else { return }
        let ended = Set(grants)
        sharing.endedElsewhere(ended)
        for grant in grants {
            for key in gate.grants(of: grant.client) where sharing.copy(key)?.grant == grant {
                gate.revoke(key, .byNode)
            }
        }
        // Their clients' packets must not bring them back.
        let remembered = gate.rememberedCopies.filter { key, programs in
            programs.all.contains { ended.contains(shared(key, $0)) }
        }
        for (key, _) in Array(remembered) { forgetAndCut(key, into: &actions) }
    }

    /// A revocation that the fleet was ordered to follow, also for what is offered later.
    public mutating func orderFollowed(_ client: IPAddress, at created: Timestamp, at now: Instant) {
        sharing.orderFollowed(client, at: created, at: now, journal.wallClock(at: now))
    }

    /// Copies give room to this node's own clients: to those whose calls can't be forged, and if the table itself is full.
    /// The copies' flows go on.
    mutating func makeRoom(for count: Int, of client: IPAddress, over transport: Transport) -> Bool {
        guard sharing.isOn, transport == .tcp, gate.isFull(for: count, of: client) else { return false }
        let victims = sharing.takeVictims(count).filter { gate[$0]?.isCopy == true }
        for key in victims { gate.revoke(key, .ofOwnClients) }
        return !victims.isEmpty
    }

    // MARK: Quarantines

    func record(_ quarantine: Watch.SharedQuarantine, at now: Instant) -> QuarantineRecord {
        let wallClock = journal.wallClock(at: now)
        return QuarantineRecord(
            from: wallClock + (quarantine.from - now), until: wallClock + (quarantine.until - now),
            evidence: .tcp, denials: UInt32(clamping: quarantine.denials))
    }

    /// Other nodes quarantined a client. Call ``flush(at:into:)`` after the last of a group.
    ///
    /// - Parameter isOwn: the address is one of this host's.
    public mutating func quarantineOffered(
        _ offer: QuarantineOffer, isOwn: Bool, at now: Instant, into actions: inout [Action]
    ) {
        let left = Duration.milliseconds(offer.until.milliseconds - journal.wallClock(at: now).milliseconds)
        let isServer = servers.id(of: offer.client).map { $0 != .thisHost } ?? false
        let consequences = watch.quarantineOffered(
            offer.client, for: left, by: offer.nodes, isSpared: isOwn || isServer || rules.lists(offer.client), at: now)
        follow(consequences, at: now, into: &actions)
    }

    // MARK: Everything

    /// A part of everything that the fleet is told: what is in some places, from this one on. `nil` as the next place:
    /// that was the last part.
    public mutating func sharedGrants(
        fromPlace place: Int, count: Int, at now: Instant
    ) -> (messages: [DaemonMessage], next: Int?) {
        guard sharing.isOn else { return (sharedQuarantines(at: now), nil) }
        guard place < Self.rememberedPlace else {
            let (messages, next) = sharing.remembered(from: place - Self.rememberedPlace, count: count)
            return (messages + (next == nil ? sharedQuarantines(at: now) : []), next.map { $0 + Self.rememberedPlace })
        }
        let (grants, next) = gate.grants(fromPlace: place, count: count)
        var messages: [DaemonMessage] = []
        for (key, grant) in grants where !key.service.server.isCallback && !grant.isUnproven {
            for shared in shared(key, grant) {
                let (record, isUsed) = record(key, grant, shared, at: now)
                messages.append(.live(shared, record, isUsed: isUsed))
            }
        }
        return (messages, next ?? Self.rememberedPlace)
    }

    /// Behind all places of grants.
    private static let rememberedPlace = 1 << 32

    private func sharedQuarantines(at now: Instant) -> [DaemonMessage] {
        watch.shared.map { .quarantined($0.key, record($0.value, at: now)) }
    }

    private func record(
        _ key: GrantKey, _ grant: Grant, _ shared: SharedGrant, at now: Instant
    ) -> (record: GrantRecord, isUsed: Bool) {
        sharing.record(key, shared, rule: grant.rule, issued: grant.issued, used: lastUse(of: grant, at: now))
    }

    /// What was ended here, for a later run; and a number that grows with it.
    public var endedGrants: [DaemonMessage] { sharing.endedGrants }
    public var endedMark: UInt64 { sharing.endedMark }

    /// An earlier run ended these grants.
    public mutating func endedGrantsFound(_ messages: [DaemonMessage], at now: Instant) {
        sharing.found(messages, at: now, journal.wallClock(at: now))
    }

    public var fleetGauges: FleetGauges {
        FleetGauges(grants: sharing.copyCount, waiting: sharing.waitingCount, quarantines: watch.foreignCount)
    }
}
