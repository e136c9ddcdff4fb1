import Bundles
import Configuration
import Policy
import PolicyFile

/// A policy that was read for a reload.
struct FreshPolicy: Sendable {
    let settings: Settings
    let rules: [Rule]
    /// The fleet's bundle among the rules.
    let bundle: AcceptedBundle?
    let lastBundle: AcceptedBundle?
    /// The bundle's bytes, if rpcwarden-fleet fetched them.
    let fetchedBundle: [UInt8]?
    /// Why the fleet's bundle was refused; `nil`: it wasn't, or there is none.
    let bundleRefusal: String?
    /// The host names that the rules mention.
    let names: Set<String>
    /// The changes, a line each.
    let changes: [String]
    /// The first error, and all diagnostics; `nil`: there is no error.
    let firstError: String?
    let refusal: String?

    init(_ load: LoadResult, insteadOf settings: Settings, _ rules: [Rule]) {
        self.settings = load.settings
        self.rules = load.rules
        bundle = load.bundle
        lastBundle = load.lastBundle
        bundleRefusal = load.bundleRefusal
        fetchedBundle = load.fetchedBundle
        names = HostNameBook.names(in: load.rules)
        changes =
            Self.changes(from: settings, rules, to: load.settings, load.rules)
            + (load.bundleRefusal.map { ["the fleet's new policy is refused, and the accepted one stays: \($0)"] } ?? [])
        firstError = load.diagnostics.first { $0.severity == .error }?.description
        refusal = firstError.map { _ in load.diagnostics.map(\.description).joined(separator: "\n") }
    }

    private static func changes(
        from old: Settings, _ oldRules: [Rule], to new: Settings, _ newRules: [Rule]
    ) -> [String] {
        let before = Dictionary(oldRules.map { ($0.place, $0) }) { first, _ in first }
        let after = Dictionary(newRules.map { ($0.place, $0) }) { first, _ in first }
        var lines = newRules.filter { before[$0.place] == nil }.map { "rule added: \($0.label)" }
        lines += oldRules.filter { after[$0.place] == nil }.map { "rule removed: \($0.label)" }
        lines += newRules.filter { rule in before[rule.place].map { !$0.isEquivalent(to: rule) } ?? false }
            .map { "rule changed: \($0.label)" }
        // The audit log is read for it: a report tells since when a host denies.
        if old.mode != new.mode { lines.append("mode changed from \(old.mode.rawValue) to \(new.mode.rawValue)") }
        let live = old.changedLive(to: new)
        let changed = old.changedKeys(to: live).filter { $0 != "mode" }
        if !changed.isEmpty { lines.append("settings changed: \(changed.joined(separator: ", "))") }
        var waiting = live.changedKeys(to: new)
        // The sidecar's socket is made at the start.
        if waiting.isEmpty, new.fleet?.isLinked == true, old.fleet?.isLinked != true { waiting = ["fleet"] }
        if !waiting.isEmpty { lines.append("\(waiting.joined(separator: ", ")) changed: restart to apply") }
        return lines.isEmpty ? ["nothing changed"] : lines
    }
}

/// A name is unique among the rules of this host, and among those of a bundle.
private struct RulePlace: Hashable {
    var name: String
    var isFromBundle: Bool
}

extension Rule {
    fileprivate var place: RulePlace { RulePlace(name: name, isFromBundle: isFromBundle) }

    /// Whether the rules are equal except for their location in the file.
    fileprivate func isEquivalent(to other: Rule) -> Bool {
        var moved = other
        moved.location = location
        return self == moved
    }
}
