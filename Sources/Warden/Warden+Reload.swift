import Policy
import Portmapper

extension Warden {
    /// Policy, or the settings that may change while we run, were read anew; host names may have new addresses.
    ///
    /// What the new policy no longer permits is revoked with the next transaction; the rest lives on untouched.
    public mutating func policyReplaced(
        _ policy: Policy, settings: Settings, at now: Instant, into actions: inout [Action]
    ) {
        if settings.limits != self.settings.limits {
            rates = Self.rateLimiter(settings.limits)
            connections.limitsReplaced(settings.limits)
        }
        self.policy = policy
        self.settings = settings
        writer.shapeReplaced(settings.tableShape)
        areServicesSettled = false
        settleServices(at: now, into: &actions)
        flush(at: now, into: &actions)
    }
}
