import Configuration
import Firewall
import Gate
import Netfilter
import PolicyFile

/// Takes the guard out of the kernel, without a daemon: every service port is open then, as after `stop --open`.
///
/// - Parameter configuration: `nil`: the default path, which may be missing.
/// - Returns: what was done, a line.
/// - Throws: if the kernel can't be asked, or the table belongs to a daemon that still runs, or isn't rpcwarden's.
public func unloadGuard(configuration: String?) throws -> String {
    // Only its settings count, and only while the configuration has an error.
    let saved: SavedGuard?
    do { saved = try StateFolder().file.read() } catch { saved = nil }
    let load = PolicyLoader().loadSettings(configurationPath: configuration)
    let settings = load.hasErrors ? saved?.lastSettings ?? load.settings : load.settings
    let (name, management) = (settings.firewall.table, settings.firewall.management)
    let table = try NetfilterTable()
    table.gateway = settings.tableShape.gateway
    guard let contents = try table.contents(of: name, isShared: management == .sets) else {
        return "there is no table inet \(name)"
    }
    let transaction = Gate.opening(of: name, management, guarded: contents.guarded)
    if let failure = table.commit(transaction) { throw ServeError.tableRefused(failure.message) }
    switch management {
    case .guardPorts: return "table inet \(name) is gone: every service port is open"
    case .sets: return "the set guarded of table inet \(name) is empty; your chains in it stay"
    }
}
