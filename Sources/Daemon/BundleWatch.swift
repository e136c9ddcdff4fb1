import AuditTrail
import Bundles
import Clock
import Configuration
import Policy

/// Knows the fleet's bundle in force: whether its rules have expired, and when to say so. Pure.
struct BundleWatch {
    private(set) var bundle: AcceptedBundle?
    private var expiry: Settings.Fleet.Bundle.Expiry = .keep
    private var hasExpired = false
    private var nextWord: Timestamp?

    /// An expired bundle is told of this often.
    static let wordPeriod: Duration = .seconds(86_400)

    init() {}

    init(_ bundle: AcceptedBundle?, _ settings: Settings, at time: Timestamp) {
        self.bundle = bundle
        expiry = settings.fleet?.policy?.expiry ?? .keep
        hasExpired = bundle?.hasExpired(at: time) ?? false
    }

    /// The rules as they are to be compiled: those of an expired bundle permit no new look-up, if the settings say so.
    func rules(_ rules: [Rule]) -> [Rule] {
        guard hasExpired, expiry == .deny else { return rules }
        return rules.map { rule in
            var rule = rule
            rule.isExpired = rule.isFromBundle
            return rule
        }
    }

    /// - Returns: whether ``rules(_:)`` has changed, and what is to be recorded.
    mutating func timeAdvanced(to time: Timestamp) -> (isToCompile: Bool, event: AuditEvent?) {
        guard let bundle, let end = bundle.notAfter else { return (false, nil) }
        // A clock that is put back brings a bundle back.
        let expired = bundle.hasExpired(at: time)
        defer { hasExpired = expired }
        let isToCompile = expired != hasExpired && expiry == .deny
        guard expired else {
            nextWord = nil
            return (isToCompile, nil)
        }
        if let nextWord, time < nextWord { return (isToCompile, nil) }
        nextWord = time + Self.wordPeriod
        let effect = expiry == .deny ? "its rules permit no new look-up" : "its rules stay in force"
        return (
            isToCompile, AuditEvent(.policyExpired, detail: "\(bundle.description) was right until \(end): \(effect)")
        )
    }
}
