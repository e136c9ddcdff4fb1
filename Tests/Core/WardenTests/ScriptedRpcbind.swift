import Addresses
import Calls
import Portmapper

/// Answers as rpcbind 1.2.6 does (facts/rpcbind.md).
struct ScriptedRpcbind {
    var registrations: [RPCB] = []
    var isDown = false
    /// The owner that rpcbind records for registrations over rpcwarden's socket.
    var registrar = "unknown"
    /// /etc/services has no sunrpc.
    var lacksVersion2 = false
    /// Programs that are missing in the list of version 2.
    var unlisted: Set<Program> = []
    /// Registered at these ports by users that the listing does not include.
    var misleading: [Program: UInt32] = [:]
    /// DUMP times out.
    var cannotList = false
    /// The version of DUMP that is answered.
    var version: PortmapperVersion = .v4

    mutating func answer(_ question: Question) -> Result<RpcbindAnswer, RpcbindFailure> {
        if isDown { return .failure(.unreachable("/run/rpcbind.sock: connection refused")) }
        switch question {
        case .registry:
            var listing = Listing(registrations)
            listing.version = version
            return cannotList ? .failure(.timedOut) : .success(.registry(listing))
        case .port(let mapping):
            let netID = mapping.transport == .tcp ? "tcp" : "udp"
            if let port = misleading[mapping.program] { return .success(.port(port)) }
            let isLacking = lacksVersion2 || unlisted.contains(mapping.program)
            let found = isLacking ? nil : lookup(mapping.program, mapping.version, netID)
            return .success(.port(UInt32(found.flatMap { UniversalAddress($0.address)?.port } ?? 0)))
        case .registration(.set(_, let rpcb)):
            let isTaken = registrations.contains {
                $0.program == rpcb.program && $0.version == rpcb.version && $0.netID == rpcb.netID
            }
            guard !isTaken else { return .success(.registration(false)) }
            var own = rpcb
            own.owner = registrar
            registrations.append(own)
            return .success(.registration(true))
        case .registration(let call): return .success(.registration(call.subject?.program == .nlockmgr))
        }
    }

    /// The registration of the same version, or else the last one.
    private func lookup(_ program: Program, _ version: UInt32, _ netID: String) -> RPCB? {
        let candidates = registrations.filter { $0.program == program && $0.netID == netID }
        return candidates.first { $0.version == version } ?? candidates.last
    }
}
