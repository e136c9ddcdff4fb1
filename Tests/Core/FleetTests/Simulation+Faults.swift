import Addresses
import Clock
import Fleet
import FleetRecords
import TestSupport

/// What daemons, administrators and misfortune do.
extension Simulation {
    private static let grants: [SharedGrant] = (0..<12).map { number in
        SharedGrant(
            .v4(0xc000_0201 + UInt32(number % 4)), [.nfs, .mountd, .nlockmgr][number / 4],
            number % 2 == 0 ? .tcp : .udp)
    }

    /// Some steps, then a quiet time.
    mutating func run(steps: Int = 50) {
        for _ in 0..<steps where violations.isEmpty {
            step += 1
            act()
            advance(by: duration())
        }
        guard violations.isEmpty, !isStoreGone else { return }
        settle()
        checkConvergence()
    }

    /// Heals everything, and lets as much time pass as any rule needs.
    mutating func settle() {
        isSettling = true
        for index in places.indices { heal(index) }
        heldUntil = now
        calmFrom = now
        calmTicks = ticks
        for _ in 0..<8 { advance(by: .milliseconds(60)) }
        for _ in 0..<14 { advance(by: .milliseconds(2500)) }
        for _ in 0..<8 { advance(by: .seconds(100)) }
        for _ in 0..<16 { advance(by: .milliseconds(120)) }
    }

    private mutating func duration() -> Duration {
        switch Int.random(in: 0..<20, using: &random) {
        case 0: .seconds(Int64.random(in: 10...90, using: &random))
        case 1...3: .milliseconds(Int64.random(in: 500...6000, using: &random))
        default: .milliseconds(Int64.random(in: 1...250, using: &random))
        }
    }

    private mutating func act() {
        let index = Int.random(in: places.indices, using: &random)
        let grant = Self.grants.randomElement(using: &random) ?? Self.grants[0]
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<24: issue(grant, index)
        case 24..<40: use(index)
        case 40..<48: revoke(index)
        case 48..<51: changePolicy(grant.program, index)
        case 51..<54: changeRegistration(grant.program, index)
        case 54..<58: quarantine(index)
        case 58..<60: release(index)
        default: misfortune(index)
        }
    }

    private mutating func misfortune(_ index: Int) {
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<4: if places[index].isPartitioned { heal(index) } else { partition(index) }
        case 4..<6: if let id = store.leases.keys.sorted().randomElement(using: &random) { lapse(id) }
        case 6..<9: store.compact()
        case 9..<11: elect()
        case 11..<13: places[index].losesNextResponse = true
        case 13: backup = store
        case 14: restore()
        case 15..<17: restartNode(index)
        case 17:
            switch Int.random(in: 0..<4, using: &random) {
            case 0: stayAway(index)
            case 1: reboot(index)
            default: restartDaemon(index)
            }
        default: places[index].watchStallsUntil = now + .milliseconds(Int64.random(in: 100...5000, using: &random))
        }
        calmFrom = max(now, heldUntil, calmFrom, places[index].watchStallsUntil)
        calmTicks = ticks
    }
}

// MARK: Daemons

extension Simulation {
    mutating func issue(_ grant: SharedGrant, _ index: Int) {
        guard places[index].daemon.permits(grant), places[index].daemon.port(of: grant.program) != nil else { return }
        let moment = places[index].moment(at: now)
        let keep: Duration = chance(70) ? Self.keepMax : .seconds(120)
        let record = GrantRecord(issued: moment.wall, used: moment.wall, rule: "nas", keep: keep)
        let port = places[index].daemon.port(of: grant.program)
        log("\(places[index].daemon.name) issues \(grant) at \(moment.wall.milliseconds)")
        places[index].daemon.copies[grant] = nil
        places[index].daemon.own[grant] = ModelDaemon.Live(record: record, ends: now + keep, port: port)
        places[index].reference[grant] = record
        places[index].node.grantIssued(grant, record, at: moment)
    }

    private mutating func useCopy(_ grant: SharedGrant, _ index: Int) {
        guard var copy = places[index].daemon.copies[grant], copy.port != nil else { return }
        let moment = places[index].moment(at: now)
        copy.record.used = moment.wall
        copy.ends = now + copy.record.keep
        copy.isUsed = true
        places[index].daemon.copies[grant] = copy
        note("copy used")
        log("\(places[index].daemon.name) uses \(grant)")
        places[index].node.grantUsed(grant, at: moment)
    }

    private mutating func use(_ index: Int) {
        let moment = places[index].moment(at: now)
        let live = places[index].daemon.own.keys.sorted() + places[index].daemon.copies.keys.sorted()
        guard let grant = live.randomElement(using: &random) else { return }
        if var own = places[index].daemon.own[grant] {
            own.record.used = moment.wall
            own.ends = now + own.record.keep
            places[index].daemon.own[grant] = own
            places[index].reference[grant] = own.record
        } else {
            return useCopy(grant, index)
        }
        log("\(places[index].daemon.name) uses \(grant)")
        places[index].node.grantUsed(grant, at: moment)
    }

    private mutating func revoke(_ index: Int) {
        let daemon = places[index].daemon
        guard let grant = (daemon.own.keys.sorted() + daemon.copies.keys.sorted()).randomElement(using: &random)
        else { return }
        end(grant, .revoked, index)
    }

    private mutating func end(_ grant: SharedGrant, _ why: EndedRecord.Reason, _ index: Int) {
        let moment = places[index].moment(at: now)
        let name = places[index].daemon.name
        let own = places[index].daemon.own.removeValue(forKey: grant)
        let copy = places[index].daemon.copies.removeValue(forKey: grant)
        guard let live = own ?? copy else { return }
        places[index].reference[grant] = nil
        if why == .revoked || own != nil {
            let fact = Self.fact(grant, live.record, of: name)
            let record = EndedRecord(at: moment.wall, why: why)
            places[index].daemon.ended[grant] = places[index].daemon.ended[grant]?.merged(with: record) ?? record
            ends[grant, default: []].append(End(node: name, at: moment.wall, why: why))
            revocations.append((fact, now, ticks))
            places[index].gone.insert(fact)
        }
        places[index].node.grantEnded(grant, EndedRecord(at: moment.wall, why: why), at: moment)
        log("\(name) ends \(Self.fact(grant, live.record, of: name)) at \(moment.wall.milliseconds)")
        note("\(why)")
    }

    /// Another policy is read: what it doesn't permit ends, and the daemon tells everything anew.
    private mutating func changePolicy(_ program: Program, _ index: Int) {
        if places[index].daemon.deniedPrograms.remove(program) == nil {
            places[index].daemon.deniedPrograms.insert(program)
            let daemon = places[index].daemon
            for grant in (daemon.own.keys.sorted() + daemon.copies.keys.sorted()) where grant.program == program {
                end(grant, .policy, index)
            }
        }
        resync(index)
    }

    /// A service comes or goes; its copies stay in memory, and come to life with it.
    private mutating func changeRegistration(_ program: Program, _ index: Int) {
        if places[index].daemon.unregistered.remove(program) == nil {
            places[index].daemon.unregistered.insert(program)
        }
        let port = places[index].daemon.port(of: program)
        for grant in places[index].daemon.copies.keys where grant.program == program {
            places[index].daemon.copies[grant]?.port = port
        }
    }

    private mutating func quarantine(_ index: Int) {
        let moment = places[index].moment(at: now)
        let client = IPAddress.v4(0xcb00_7100 + UInt32.random(in: 0..<3, using: &random))
        let record = QuarantineRecord(
            from: moment.wall, until: moment.wall + .seconds(600), evidence: chance(80) ? .tcp : .udp, denials: 20)
        places[index].daemon.quarantined[client] = record
        places[index].node.clientQuarantined(client, record, at: moment)
    }

    private mutating func release(_ index: Int) {
        guard let client = places[index].daemon.quarantined.keys.sorted().first else { return }
        places[index].daemon.quarantined[client] = nil
        places[index].node.clientReleased(client, at: places[index].moment(at: now))
    }
}

// MARK: Misfortune

extension Simulation {
    mutating func partition(_ index: Int) {
        note("partition")
        places[index].isPartitioned = true
        // With `hasleader`, a watch ends 4 s after its member lost the others.
        if places[index].isUp { places[index].breaksAt = now + .seconds(4) }
    }

    mutating func heal(_ index: Int) {
        places[index].isPartitioned = false
        places[index].breaksAt = nil
        places[index].losesNextResponse = false
        places[index].watchStallsUntil = now
    }

    /// A node is away for longer than ends of policy hold. Its clients use what they have; elsewhere some of it is revoked.
    private mutating func stayAway(_ index: Int) {
        note("long absence")
        partition(index)
        // What policy ended is forgotten meanwhile.
        revocations = revocations.filter { isRevoked($0.fact) }
        for place in places { place.gone = place.gone.filter(isRevoked) }
        for _ in 0..<6 {
            for other in places.indices where other != index && chance(30) { revoke(other) }
            for _ in 0..<2 { advance(by: .seconds(700)) }
            for grant in places[index].daemon.copies.keys.sorted() { useCopy(grant, index) }
        }
        heal(index)
    }

    private func isRevoked(_ fact: Fact) -> Bool {
        ends[fact.grant, default: []].contains { $0.why == .revoked && fact.issued <= $0.at }
    }

    private mutating func lapse(_ id: Int) {
        note("lease lapsed")
        store.lapse(id)
    }

    private mutating func elect() {
        note("election")
        heldUntil = now + .seconds(2)
    }

    private mutating func restore() {
        guard let backup else { return }
        note("restored")
        store = backup
        for index in places.indices where places[index].isUp { disconnect(index) }
    }

    /// A new process without memory; the daemon tells it everything, a little later.
    private mutating func restartNode(_ index: Int) {
        note("node restarted")
        places[index].requests = []
        places[index].cursor = nil
        places[index].isUp = false
        places[index].breaksAt = nil
        places[index].leases = [:]
        places[index].gone = []
        places[index].lastBatch = nil
        places[index].node = Self.node(
            places[index].daemon, nodes: places.count, seed: random.next(), at: now)
        places[index].resyncAt = now + .milliseconds(Int64.random(in: 0...2000, using: &random))
    }

    /// Grants are adopted from the kernel.
    private mutating func restartDaemon(_ index: Int) {
        note("daemon restarted")
        resync(index)
    }

    /// The kernel's state is gone; what was ended is in a file.
    private mutating func reboot(_ index: Int) {
        note("host rebooted")
        places[index].daemon.own = [:]
        places[index].daemon.copies = [:]
        places[index].reference = [:]
        restartNode(index)
    }
}
