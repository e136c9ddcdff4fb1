import Policy
import PolicyFile
import Warden

extension Engine {
    /// Reads configuration and policy anew; refuses the whole if anything is wrong.
    /// - Returns: what changed, a line each, or the diagnostics.
    func reload() -> Result<[String], ReloadRefusal> {
        var fresh = PolicyLoader().load(configurationPath: configuration)
        fresh.settings = fresh.settings.fitted(to: netfilter.abilities).fittedToDescriptors()
        guard !fresh.hasErrors else {
            record(AuditEvent(.reloadRefused, detail: fresh.diagnostics.first { $0.severity == .error }?.description))
            return .failure(ReloadRefusal(text: fresh.diagnostics.map(\.description).joined(separator: "\n")))
        }
        var changes = Self.changes(from: warden.settings, rules, to: fresh.settings, fresh.rules)
        // The old rules' names are watched too until the new rules are in force.
        hosts?.watch(HostNameBook.names(in: rules + fresh.rules))
        awaitingHosts = fresh
        guard hosts?.isComplete ?? true else {
            changes.append("takes effect as soon as the new host names are resolved")
            return .success(changes)
        }
        return applyReload().map { .failure($0) } ?? .success(changes)
    }

    /// Puts in force what was read, once every host name of it has been asked for.
    ///
    /// The netfilter process reads the same files, and only then lets us do what they newly permit.
    @discardableResult
    func applyReload() -> ReloadRefusal? {
        guard let fresh = awaitingHosts else { return nil }
        awaitingHosts = nil
        do {
            try netfilter.reload()
        } catch {
            record(AuditEvent(.reloadRefused, detail: error.description))
            hosts?.watch(HostNameBook.names(in: rules))
            return ReloadRefusal(text: "the netfilter process can't read the new policy: \(error)")
        }
        let changes = Self.changes(from: warden.settings, rules, to: fresh.settings, fresh.rules)
        rules = fresh.rules
        hosts?.watch(HostNameBook.names(in: rules))
        let settings = warden.settings.changedLive(to: fresh.settings)
        let policy = Policy(rules: rules, addresses: hosts?.addresses ?? [:])
        handle { $0.policyReplaced(policy, settings: settings, at: $1, into: &$2) }
        record(AuditEvent(.reloaded, detail: changes.joined(separator: "; ")))
        return nil
    }

    /// A host name has other addresses, or can't be resolved.
    func hostNamesChanged(_ failure: String?) {
        if let failure { failed("\(failure); its last addresses stay in use") }
        let policy = Policy(rules: rules, addresses: hosts?.addresses ?? [:])
        handle { $0.policyReplaced(policy, settings: $0.settings, at: $1, into: &$2) }
    }

    private static func changes(
        from old: Settings, _ oldRules: [Rule], to new: Settings, _ newRules: [Rule]
    ) -> [String] {
        let before = Dictionary(oldRules.map { ($0.name, $0) }) { first, _ in first }
        let after = Dictionary(newRules.map { ($0.name, $0) }) { first, _ in first }
        var lines = newRules.filter { before[$0.name] == nil }.map { "rule added: \($0.label)" }
        lines += oldRules.filter { after[$0.name] == nil }.map { "rule removed: \($0.label)" }
        lines += newRules.filter { rule in before[rule.name].map { !$0.means(the: rule) } ?? false }
            .map { "rule changed: \($0.label)" }
        if old.changedLive(to: new) != old { lines.append("settings changed") }
        if old.changedLive(to: new) != new {
            lines.append("listen, rpcbind, table, audit, metrics or control changed: restart to apply")
        }
        return lines.isEmpty ? ["nothing changed"] : lines
    }
}

/// A reload that was refused as a whole; `text` holds the diagnostics.
struct ReloadRefusal: Error {
    var text: String
}

extension Rule {
    /// The same but for where it stands.
    fileprivate func means(the other: Rule) -> Bool {
        var moved = other
        moved.location = location
        return self == moved
    }
}

extension Settings {
    /// These settings, with what may change while the daemon runs taken from `fresh`.
    func changedLive(to fresh: Settings) -> Settings {
        var settings = self
        settings.mode = fresh.mode
        settings.firewall = fresh.firewall
        // The table's name is where everything is; it stays for a daemon's life.
        settings.firewall.table = firewall.table
        // The socket is bound to the group that it was bound to.
        settings.firewall.logGroup = firewall.logGroup
        settings.denial = fresh.denial
        settings.limits = fresh.limits
        settings.limits.recordBytes = limits.recordBytes
        settings.quarantine = fresh.quarantine
        settings.policyPath = fresh.policyPath
        return settings
    }
}
