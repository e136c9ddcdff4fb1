import AuditTrail
import Clock
import FleetRecords
import TestSupport
import Testing

@testable import Daemon

@Suite("how a node stands with its fleet") struct FleetStandingTests {
    private static let time = Timestamp(milliseconds: 1_800_000_000_000)

    private static func state(_ isConnected: Bool, _ detail: String? = nil, after seconds: Int = 0) -> StoreState {
        var state = StoreState(since: time + .seconds(seconds))
        state.isConnected = isConnected
        state.detail = detail
        return state
    }

    @Test("is told at each change, and not again")
    func changes() {
        var standing = FleetStanding()
        standing.sidecarConnected()
        standing.helloTold(fleet: "lab", node: "nas1")
        #expect(standing.storeTold(Self.state(false, "no route")) == nil)
        #expect(
            standing.storeTold(Self.state(true, after: 1))
                == AuditEvent(.fleetConnected, detail: "fleet lab as node nas1"))
        #expect(standing.storeTold(Self.state(true, after: 9)) == nil)
        #expect(standing.store?.since == Self.time + .seconds(1))
        #expect(
            standing.storeTold(Self.state(false, "refused", after: 20)) == AuditEvent(.fleetLost, detail: "refused"))
    }

    @Test("a refusal of the sidecar is told once, though it says so at each of its connections")
    func refusal() {
        var standing = FleetStanding()
        let event = AuditEvent(.policyRefused, detail: "group nfs: no key")
        #expect(standing.policyRefused("nfs", "no key") == event)
        #expect(standing.policyRefused("nfs", "no key") == nil)
        #expect(standing.policyRefused("nfs", "too short") != nil)
    }

    @Test("is lost with the sidecar, if the store was there")
    func sidecar() {
        var standing = FleetStanding()
        standing.sidecarConnected()
        #expect(standing.sidecarLost("gone", at: Self.time) == nil)
        standing.sidecarConnected()
        _ = standing.storeTold(Self.state(true))
        #expect(standing.sidecarLost("gone", at: Self.time) == AuditEvent(.fleetLost, detail: "gone"))
        #expect(!standing.isConnected && !standing.isSidecarHere)
    }

    @Test("a counter's growth within an hour is known to the minute")
    func hour() {
        var count = HourlyCount()
        var now = Instant(nanoseconds: 0)
        #expect(count.growth(to: 7, at: now) == 0)
        now = now + .seconds(1800)
        #expect(count.growth(to: 10, at: now) == 3)
        now = now + .seconds(1900)
        #expect(count.growth(to: 12, at: now) == 2)
        now = now + .seconds(86_400)
        #expect(count.growth(to: 12, at: now) == 0)
    }

    @Test("has the files read at once on the sidecar's word, and at most once a second, however often it gives it")
    func fetched() {
        var standing = FleetStanding()
        var reads: [Int64] = []
        if standing.takeReload(at: at(0)) { reads.append(0) }
        for time in stride(from: Int64(5), to: 2005, by: 10) {
            for _ in 0..<100 { standing.policyFetched() }
            if standing.takeReload(at: at(time)) { reads.append(time) }
        }
        #expect(reads == [5, 1005])
        // The last word counts, too.
        for time in [2004, 2005, 9999] as [Int64] where standing.takeReload(at: at(time)) { reads.append(time) }
        #expect(reads == [5, 1005, 2005])
    }
}
