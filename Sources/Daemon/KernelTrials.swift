import Firewall
import Netfilter
import System

extension NetfilterTable {
    /// Where the trial tells nothing, the table isn't owned: then others can change it, and it is made anew.
    var ownsTables: Bool {
        switch tryOwnedTables() {
        case .supported: return true
        case .unsupported: return false
        case .unknown(let failure):
            writeError("rpcwarden: whether the kernel lets a table be owned isn't known: \(failure); it isn't owned")
            return false
        }
    }
}

/// Whether the kernel has tables that their owner keeps from others, as a trial tells that changes nothing; `nil`: the
/// trial tells nothing, for one because this process may not change the firewall.
public func kernelOwnsTables() -> Bool? {
    do throws(NetfilterError) {
        switch try NetfilterTable().tryOwnedTables() {
        case .supported: return true
        case .unsupported: return false
        case .unknown: return nil
        }
    } catch {
        return nil
    }
}
