import Portmapper

@testable import Warden

/// Answers as rpcbind 1.2.6 does (facts/rpcbind.md).
struct ScriptedRpcbind {
    var registrations: [RPCB] = []
    var isDown = false

    mutating func answer(_ question: Question) -> Result<PortmapperResult, RpcbindFailure> {
        if isDown { return .failure(.unreachable("/run/rpcbind.sock: connection refused")) }
        switch question {
        case .registry: return .success(.registrations(registrations))
        case .lookup(.getPort(let mapping), _):
            let netID = mapping.transport == .tcp ? "tcp" : "udp"
            let found = lookup(mapping.program, mapping.version, netID, falls: true)
            return .success(.port(UInt32(found.flatMap { UniversalAddress($0.address)?.port } ?? 0)))
        case .lookup(.getAddress(_, let rpcb), let netID): return .success(.address(address(rpcb, netID, falls: true)))
        case .lookup(.getVersionAddress(let rpcb), let netID):
            return .success(.address(address(rpcb, netID, falls: false)))
        case .registration(.set(_, let rpcb)):
            guard lookup(rpcb.program, rpcb.version, rpcb.netID, falls: false) == nil else {
                return .success(.boolean(false))
            }
            var own = rpcb
            own.owner = "unknown"
            registrations.append(own)
            return .success(.boolean(true))
        case .registration(let call): return .success(.boolean(call.subject?.program == .nlockmgr))
        case .lookup: return .failure(.refused("not a lookup"))
        }
    }

    private func lookup(_ program: Program, _ version: UInt32, _ netID: String, falls: Bool) -> RPCB? {
        let candidates = registrations.filter { $0.program == program && $0.netID == netID }
        return candidates.first { $0.version == version } ?? (falls ? candidates.first : nil)
    }

    private func address(_ rpcb: RPCB, _ netID: NetID, falls: Bool) -> String {
        guard let found = lookup(rpcb.program, rpcb.version, netID.rawValue, falls: falls),
            let address = UniversalAddress(found.address), let hint = UniversalAddress(rpcb.address)
        else { return "" }
        let host = address.host.isUnspecified ? hint.host : address.host
        return UniversalAddress(host: host, port: address.port).description
    }
}
