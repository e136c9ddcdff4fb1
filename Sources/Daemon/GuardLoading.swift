import Configuration
import Firewall
import Gate
import Glibc
import Netfilter
import PolicyFile
import Privilege

/// The result of `guard load`.
public struct GuardLoading: Sendable {
    /// The steps that were done, a line each.
    public var lines: [String] = []
    /// Errors that did not stop the other steps.
    public var complaints: [String] = []
}

/// Puts the saved guard into the kernel, without a daemon; run by the early unit at boot.
///
/// Nothing is opened, since policy isn't evaluated: clients wait until the daemon has adopted the guard.
///
/// - Parameter configuration: `nil`: the default path, which may be missing.
/// - Throws: ``ServeError/tableRefused(_:)`` if the kernel refuses the table.
public func loadGuard(configuration: String?) throws -> GuardLoading {
    var loading = GuardLoading()
    let saved = loading.read(StateFolder().file)
    let table = try NetfilterTable()
    // No process reads the log group yet, and the kernel may lack NFLOG; the daemon adds the log rules.
    let features = KernelFeatures(ownsTables: table.ownsTables, logsDrops: false)
    let settings = loading.settings(configuration, saved).fitted(to: features)
    table.gateway = settings.tableShape.gateway
    let isShared = settings.firewall.management == .sets
    let contents = try table.contents(of: settings.firewall.table, isShared: isShared)
    let name = "table inet \(settings.firewall.table)"
    switch (contents, settings.firewall.management) {
    case (.some, .guardPorts):
        loading.lines.append("\(name) exists already, and is left unchanged")
        return loading
    case (.some(let contents), .sets) where !contents.guarded.isEmpty:
        loading.lines.append("\(name) has guarded ports already, and is left unchanged")
        return loading
    case (nil, .sets):
        loading.lines.append("\(name) is missing; with firewall.manage: sets you make it yourself")
        return loading
    case (nil, .guardPorts), (.some, .sets): break
    }
    let transaction = (saved ?? SavedGuard()).transaction(for: settings, at: HostClock.wallClock())
    let ports = transaction.operations.count { if case .guardPort = $0 { true } else { false } }
    let memories = transaction.operations.count { if case .remember = $0 { true } else { false } }
    // A gateway closes the servers' portmappers before it forwards anything.
    guard ports + memories > 0 || settings.gateway != nil else {
        // One that can't be read may hold anything.
        if loading.complaints.isEmpty { loading.lines.append("no guard was saved yet: nothing to load") }
        return loading
    }
    if let failure = commit(transaction, to: table, Ceiling(settings: settings, rules: [])) {
        guard isShared, failure.errno == ENOENT else { throw ServeError.tableRefused(failure.message) }
        loading.lines.append("\(name) has no set `guarded`: nothing to load")
        return loading
    }
    loading.lines.append("\(name): \(ports) ports guarded, \(memories) grants remembered")
    return loading
}

private func commit(_ transaction: Transaction, to table: NetfilterTable, _ ceiling: Ceiling) -> CommitFailure? {
    do throws(CommitFailure) {
        _ = try ceiling.judge(transaction)
        return table.commit(transaction)
    } catch {
        return error
    }
}

extension GuardLoading {
    fileprivate mutating func read(_ file: GuardFile) -> SavedGuard? {
        do {
            return try file.read()
        } catch {
            complaints.append("the saved guard can't be loaded: \(error)")
            return nil
        }
    }

    /// The policy isn't read, so the guard is loaded even if the policy has an error.
    fileprivate mutating func settings(_ configuration: String?, _ saved: SavedGuard?) -> Settings {
        let load = PolicyLoader().loadSettings(configurationPath: configuration)
        guard load.hasErrors else { return load.settings }
        let first = load.diagnostics.first { $0.severity == .error }?.description ?? ""
        let instead = saved == nil ? "the defaults" : "the settings that were last in force"
        lines.append("the configuration can't be read, so \(instead) are used: \(first)")
        return saved?.lastSettings ?? Settings()
    }
}
