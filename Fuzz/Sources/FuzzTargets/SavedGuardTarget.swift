import Clock
import Firewall
import Gate

extension FuzzTarget {
    /// The saved guard, which the network-facing process writes, and `guard load` reads. A parsed guard is
    /// unchanged by writing and reading it again, and its transaction opens no port.
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
