import Addresses
import AuditTrail
import Calls
import Clock
import Configuration
import CoreSamples
import FleetRecords
import Policy
import Portmapper
import TestSupport
import Testing

@testable import Warden

@Suite("quarantines that nodes of a fleet tell each other") struct FleetQuarantineTests {
    private static let stranger = ip("192.0.2.9")
    private static let settings = Settings().with {
        $0.fleet = Settings.Fleet()
        $0.fleet?.quarantines = Settings.Fleet.Quarantines()
    }

    private func offer(
        _ bench: Bench, _ client: IPAddress = stranger, for duration: Duration = .seconds(300), isOwn: Bool = false
    ) {
        let offer = QuarantineOffer(client: client, until: Bench.startOfTime + duration, nodes: ["nas2", "nas3"])
        bench.handle { warden, now, actions in
            warden.quarantineOffered(offer, isOwn: isOwn, at: now, into: &actions)
            warden.flush(at: now, into: &actions)
        }
    }

    @Test("spare whom a rule names, this host, and the servers behind it")
    func spared() {
        let bench = Bench.started([.sample()], settings: Self.settings)
        offer(bench, ip("10.1.2.3"))
        offer(bench, isOwn: true)
        #expect(bench.kernel.quarantined.isEmpty)
        let gateway = ServerTests.bench(settings: ServerTests.settings.with { $0.fleet = Self.settings.fleet })
        offer(gateway, ServerTests.first)
        #expect(gateway.kernel.quarantined.isEmpty)
    }

    @Test("are not taken over where they aren't wanted")
    func unwanted() {
        let refusing = Self.settings.with { $0.fleet?.quarantines?.accept = false }
        for settings in [Settings(), refusing, Self.settings.with { $0.quarantine = nil }] {
            let bench = Bench.started([.sample()], settings: settings)
            offer(bench)
            #expect(bench.kernel.quarantined.isEmpty)
        }
    }

    @Test("last no longer than this node's own, nor than an hour; and are no more than it takes")
    func limits() {
        let settings = Self.settings.with {
            $0.quarantine?.lasts = .seconds(90_000)
            $0.fleet?.quarantines?.max = 2
        }
        let bench = Bench.started([.sample()], settings: settings)
        offer(bench, for: .seconds(86_400))
        #expect(bench.kernel.quarantined[Self.stranger] == bench.now + .seconds(3600))
        for number in 1...3 { offer(bench, ip("192.0.2.\(100 + number)")) }
        #expect(bench.kernel.quarantined.count == 2)
        #expect(bench.loop.warden.fleetGauges.quarantines == 2)
        #expect(bench.events(.quarantined).map(\.detail) == Array(repeating: "by nas2, nas3 of the fleet", count: 2))
    }

    @Test("of others end by themselves, and nobody is told of these")
    func end() {
        let bench = Bench.started([.sample()], settings: Self.settings)
        offer(bench)
        bench.advance(by: .seconds(301))
        #expect(bench.kernel.quarantined.isEmpty)
        #expect(bench.loop.warden.fleetGauges.quarantines == 0)
        #expect(bench.told.isEmpty)
    }

    @Test("of this node are told if TCP alone proves them; those of forged calls crowd nothing out")
    func told() {
        for transport in [Transport.udp, .tcp] {
            let bench = Bench.started([.sample()], settings: Self.settings)
            for number: UInt32 in 0..<20 {
                bench.call(.port(of: .unheardOf), from: .stranger(Self.stranger.description, transport), xid: number)
            }
            #expect(bench.kernel.quarantined.count == 1)
            guard case .quarantined(Self.stranger, let record)? = bench.told.first else {
                #expect(transport == .udp && bench.told.isEmpty)
                continue
            }
            #expect(transport == .tcp && record.evidence == .tcp)
            #expect(record.denials == 20 && record.until.milliseconds - record.from.milliseconds == 600_000)
            #expect(bench.sharedGrants(fromPlace: 0, count: 1).messages == bench.told)
        }
    }

    @Test("that an operator lifts are not brought back by others for an hour, whoever offers them anew")
    func pardoned() {
        let settings = Self.settings.with { $0.quarantine?.lasts = .seconds(7200) }
        let bench = Bench.started([.sample()], settings: settings)
        offer(bench, for: .seconds(7200))
        bench.handle { _ = $0.release(client: Self.stranger, at: $1, into: &$2) }
        offer(bench, for: .seconds(7200))
        #expect(bench.kernel.quarantined.isEmpty)
        bench.advance(by: .seconds(3601))
        offer(bench, for: .seconds(7200))
        #expect(bench.kernel.quarantined.count == 1)
    }

    @Test("that began after an order was given are not lifted by it", arguments: [0, 89, 90, 100])
    func ordered(given seconds: Int) {
        let bench = Bench.started([.sample()], settings: Self.settings)
        bench.advance(by: .seconds(100))
        offer(bench, for: .seconds(500))
        bench.handle {
            _ = $0.release(
                client: Self.stranger, order: Bench.startOfTime + .seconds(seconds), at: $1, into: &$2)
        }
        #expect(bench.kernel.quarantined.isEmpty == (seconds >= 90), "the clocks may differ by 10 s")
    }

    @Test("that an operator lifts are told as lifted, whoever made them")
    func released() {
        let bench = Bench.started([.sample()], settings: Self.settings)
        offer(bench)
        bench.handle { _ = $0.release(client: Self.stranger, at: $1, into: &$2) }
        #expect(bench.told == [.released(Self.stranger)])
        #expect(bench.kernel.quarantined.isEmpty)
    }

    @Test("of this node that are over, or lifted, are not told again with everything", arguments: [false, true])
    func notTold(isLifted: Bool) {
        let bench = Bench.started([.sample()], settings: Self.settings)
        for number: UInt32 in 0..<20 {
            bench.call(.port(of: .unheardOf), from: .stranger(Self.stranger.description, .tcp), xid: number)
        }
        #expect(bench.sharedGrants(fromPlace: 0, count: 1).messages.count == 1)
        if isLifted {
            bench.handle { _ = $0.release(client: Self.stranger, at: $1, into: &$2) }
        } else {
            bench.advance(by: .seconds(601))
        }
        #expect(bench.sharedGrants(fromPlace: 0, count: 1).messages.isEmpty)
    }
}
