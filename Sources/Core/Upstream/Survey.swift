import Addresses
import Calls
import Policy
import Portmapper

/// A replacement for a registry that can't be read though rpcbind may live, for example because local users made
/// it too long. Policy's programs are asked for one by one.
///
/// GETPORT tells no owner, so the port's socket tells it: a service is guarded and opened only if a trusted
/// user's socket listens (``ServiceTable``).
struct Survey: Sendable {
    /// The questions that rpcbind has yet to answer.
    var waiting: Set<Mapping> = []
    private var found: [RPCB] = []
    /// Whether rpcbind has answered any question.
    private var isAnswered = false

    /// The owner of registrations that a survey found; rpcbind itself shows no owner like this.
    static let owner = "superuser (by its socket)"
    /// The number of programs that are asked for.
    static let programsMax = 64
    /// Used if the last snapshot knows no version: it is mountd's and nfs's, and rpcbind falls back to any other.
    static let versionUnknown: UInt32 = 3

    init(of programs: Set<Program>, knowing registry: Registry?) {
        for program in programs.sorted().prefix(Survey.programsMax) {
            let known = registry?.registrations(of: program) ?? []
            for transport in Transport.allCases {
                let netID = NetID(transport, isIPv4: true)
                let version = known.first { $0.netID == netID }?.version ?? Survey.versionUnknown
                waiting.insert(
                    Mapping(program: program, version: version, protocolNumber: UInt32(transport.rawValue), port: 0))
            }
        }
    }

    /// - Parameter port: `nil`: rpcbind gave no answer; 0: not registered.
    mutating func answered(_ mapping: Mapping, at port: UInt32?) {
        guard waiting.remove(mapping) != nil, let port, let transport = mapping.transport else { return }
        isAnswered = true
        guard port != 0, let number = UInt16(exactly: port) else { return }
        let address = UniversalAddress(host: .v4(0), port: number)
        found.append(
            RPCB(
                program: mapping.program, version: mapping.version,
                netID: NetID(transport, isIPv4: true).rawValue, address: "\(address)", owner: Survey.owner))
    }

    /// The registrations that the last snapshot lacks, once all questions have ended; `nil` until then, and if
    /// rpcbind answered none. Registrations of the snapshot stay: a missing answer proves nothing.
    func result(beyond known: Registry?) -> [RPCB]? {
        guard waiting.isEmpty, isAnswered else { return nil }
        let new = found.filter { found in
            known?.registrations.contains {
                $0.program == found.program && $0.netID.rawValue == found.netID
                    && $0.service == Registration(found)?.service
            } != true
        }
        return known == nil || !new.isEmpty ? new : nil
    }
}
