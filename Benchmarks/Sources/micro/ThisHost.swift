import Clock
import Configuration
import Policy
import Portmapper
import Warden

/// This host alone, with `programs` programs at its rpcbind, and a policy that limits no caller's rate.
func thisHost(
    _ policy: Policy, programs: Int = 20, limits change: (inout Settings.Limits) -> Void = { _ in }
) -> Outside {
    var settings = Settings()
    settings.limits.callsPerSecond = 1_000_000
    settings.limits.strangersPerSecond = 0
    settings.limits.grants = 1_000_000
    settings.quarantine = nil
    change(&settings.limits)
    let dump = PortmapperResult.registrations(registrations(programs)).encoded
    let warden = Warden(
        settings: settings, policy: policy, names: ProgramNames(etcRPC: ""), trustedOwners: ["superuser"])
    return Outside(warden) { mapping in
        let index = Int(mapping.program.rawValue - 100_003) / 2
        return UInt32(80 + index >> 8) << 8 | UInt32(index & 255)
    } listing: { _ in
        var decoder = ListingDecoder(trusted: ["superuser"])
        dump.withUnsafeBytes { decoder.feed($0) }
        guard let listing = decoder.result else { preconditionFailure("no listing") }
        return listing
    }
}
