import AuditTrail
import Bundles
import Clock
import Configuration
import CoreSamples
import Policy
import Testing

@testable import Daemon

@Suite("The watch of a fleet's bundle") struct BundleWatchTests {
    private static let end = Timestamp(milliseconds: 1_900_000_000_000)

    private static func watch(
        _ expiry: Settings.Fleet.Bundle.Expiry, notAfter: Timestamp? = end, at time: Timestamp = .init(milliseconds: 0)
    ) -> BundleWatch {
        let bundle = PolicyBundle(
            fleet: "lab", group: "nfs", serial: 42, created: Timestamp(milliseconds: 0), notAfter: notAfter, files: [])
        var settings = Settings()
        settings.fleet = Settings.Fleet()
        settings.fleet?.policy = Settings.Fleet.Bundle()
        settings.fleet?.policy?.expiry = expiry
        return BundleWatch(AcceptedBundle(bundle, digest: ""), settings, at: time)
    }

    @Test("says once a day that the bundle has expired, and has the rules compiled anew only where they deny")
    func expiry() {
        for (expiry, denies) in [(Settings.Fleet.Bundle.Expiry.keep, false), (.deny, true)] {
            var watch = Self.watch(expiry)
            #expect(watch.timeAdvanced(to: Self.end).event == nil)
            let first = watch.timeAdvanced(to: Self.end + .seconds(1))
            #expect(first.isToCompile == denies && first.event?.kind == .policyExpired)
            #expect(first.event?.detail?.contains("serial 42") == true)
            let second = watch.timeAdvanced(to: Self.end + .seconds(2))
            #expect(!second.isToCompile && second.event == nil)
            #expect(watch.timeAdvanced(to: Self.end + .seconds(86_402)).event != nil)
            let put = watch.timeAdvanced(to: Self.end)
            #expect(put.isToCompile == denies && put.event == nil, "the clock was put back")
        }
    }

    @Test("marks only the rules of an expired bundle, and only where they deny")
    func rules() {
        let own = Rule.sample()
        var fleets = own
        fleets.isFromBundle = true
        let late = Self.end + .seconds(1)
        #expect(Self.watch(.deny, at: late).rules([own, fleets]).map(\.isExpired) == [false, true])
        #expect(Self.watch(.keep, at: late).rules([own, fleets]).map(\.isExpired) == [false, false])
        #expect(Self.watch(.deny).rules([own, fleets]).map(\.isExpired) == [false, false])
        #expect(Self.watch(.deny, notAfter: nil, at: late).rules([own, fleets]).map(\.isExpired) == [false, false])
    }
}
