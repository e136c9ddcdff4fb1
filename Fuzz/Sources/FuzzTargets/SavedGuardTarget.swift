import Clock
import Firewall
import Warden

extension FuzzTarget {
    /// The saved guard, which the network-facing process writes, and `guard load` reads; what is read reads the same when
    /// it is written again, and its transaction opens nothing.
    static let savedGuard = FuzzTarget(name: "guard", allocationFactor: nil) { bytes in
        guard let saved = attempt({ () throws(SavedGuardText.Fault) in try SavedGuardText.read(Array(bytes)) }) else {
            return
        }
        let again = attempt { () throws(SavedGuardText.Fault) in try SavedGuardText.read(saved.text) }
        require(again == saved, "\(saved) became \(String(describing: again))")
        let never = saved.lastSettings.firewall.never
        for operation in saved.transaction(for: saved.lastSettings, at: Timestamp(milliseconds: 0)).operations {
            switch operation {
            case .guardPort(let service): require(!never.contains(service.port), "\(service) is shut")
            case .makeTable, .remember: break
            default: require(false, "\(operation)")
            }
        }
    }
}
