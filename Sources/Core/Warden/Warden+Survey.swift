import Addresses
import Calls
import Clock
import Policy
import Portmapper

/// A replacement for a registry that can't be read though rpcbind may live, for example because local users made
/// it too long. Policy's programs are asked for one by one.
///
/// GETPORT tells no owner, so the port's socket tells it: a service is guarded and opened only if a trusted
/// user's socket listens (``ServiceTable``).
struct Survey {
    /// The questions that rpcbind has yet to answer.
    var waiting: Set<Mapping> = []
    var found: [RPCB] = []
    /// Whether rpcbind has answered any question.
    var isAnswered = false

    /// The owner of registrations that a survey found; rpcbind itself shows no owner like this.
    static let owner = "superuser (by its socket)"
    /// The number of programs that are asked for.
    static let programsMax = 64
    /// Used if the last snapshot knows no version: it is mountd's and nfs's, and rpcbind falls back to any other.
    static let versionUnknown: UInt32 = 3
}

extension Warden {
    /// - Returns: whether rpcbind may live nevertheless, and is asked.
    mutating func startSurvey(after failure: RpcbindFailure, at now: Instant, into actions: inout [Action]) -> Bool {
        switch failure {
        case .timedOut, .refused: break
        case .unreachable, .busy: return false
        }
        guard survey?.waiting.isEmpty ?? true else { return true }
        let programs = Set(policy.rules.flatMap(\.to)).sorted().prefix(Survey.programsMax)
        var survey = Survey()
        for program in programs {
            let known = registry?.registrations(of: program) ?? []
            for transport in Transport.allCases {
                let netID = NetID(transport, isIPv4: true)
                let version = known.first { $0.netID == netID }?.version ?? Survey.versionUnknown
                survey.waiting.insert(
                    Mapping(program: program, version: version, protocolNumber: UInt32(transport.rawValue), port: 0))
            }
        }
        self.survey = survey
        for mapping in survey.waiting.sorted(by: { ($0.program, $0.protocolNumber) < ($1.program, $1.protocolNumber) })
        {
            ask(.port(mapping), for: .survey, at: now, into: &actions)
        }
        return !survey.waiting.isEmpty
    }

    /// - Parameter port: `nil`: rpcbind gave no answer; 0: not registered.
    mutating func surveyed(_ mapping: Mapping, at port: UInt32?, _ now: Instant, into actions: inout [Action]) {
        guard survey?.waiting.remove(mapping) != nil else { return }
        if let port, let transport = mapping.transport {
            survey?.isAnswered = true
            if port != 0, let number = UInt16(exactly: port) {
                let address = UniversalAddress(host: .v4(0), port: number)
                survey?.found.append(
                    RPCB(
                        program: mapping.program, version: mapping.version,
                        netID: NetID(transport, isIPv4: true).rawValue, address: "\(address)", owner: Survey.owner))
            }
        }
        guard let survey, survey.waiting.isEmpty, survey.isAnswered else { return }
        // Registrations of the last snapshot stay: a missing answer proves nothing.
        let known = registry?.registrations ?? []
        let new = survey.found.filter { found in
            !known.contains {
                $0.program == found.program && $0.netID.rawValue == found.netID
                    && $0.service == Registration(found)?.service
            }
        }
        guard registry == nil || !new.isEmpty else { return }
        registryRead(
            Listing(registryListing.registrations + new, omitted: registryListing.omitted), for: [.refresh], at: now,
            into: &actions)
    }
}
