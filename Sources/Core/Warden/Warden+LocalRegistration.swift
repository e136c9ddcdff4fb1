import Calls
import Clock
import Exchanges
import Portmapper

// SET and UNSET over loopback, with `local-registration`.
//
// rpcbind records the owner of our unix socket as the registration's owner, which is our user. A mapping of ours
// counts as root's, because we send no other user's and no other process runs as our user.
extension Warden {
    private static let root: UInt32 = 0

    /// The kernel was asked for the owner of the call's socket; `nil`: the owner isn't known.
    public mutating func ownerInspected(
        _ id: Int, _ uid: UInt32?, at now: Instant, into actions: inout [Action]
    ) {
        guard let request = exchanges.request(of: id) else { return }
        guard uid == Self.root else {
            let who = uid.map { "the socket is of uid \($0)" } ?? "nobody, or more than one user, may have sent it"
            return deny(id, .remoteRegistration, detail: who, at: now, into: &actions)
        }
        guard let call = request.call.rebuiltRegistration else {
            return complete(id, request.call.notRegistered, at: now, into: &actions)
        }
        ask(.registration(call), of: 0, for: .exchange(id), at: now, into: &actions)
    }

    /// rpcbind made the change, or refused it.
    mutating func registrationAnswered(
        _ askers: Askers<Exchanges.Asker>, _ isDone: Bool, at now: Instant, into actions: inout [Action]
    ) {
        // A new registration is guarded before the next snapshot is due.
        if isDone { ask(.registry, of: 0, for: .refresh, at: now, into: &actions) }
        for case .exchange(let id) in askers { complete(id, .boolean(isDone), at: now, into: &actions) }
    }
}

extension PortmapperCall {
    /// The registration built anew; `nil` if it can't be: the portmapper's own place, other netids, no port.
    ///
    /// A universal address of the other family (`tcp` at `::`) becomes one that rpcbind's version 2 list can hold.
    var rebuiltRegistration: PortmapperCall? {
        guard let subject, subject.program != .portmapper else { return nil }
        switch self {
        case .setMapping(let mapping):
            guard mapping.transport != nil, let port = UInt16(exactly: mapping.port), port != 0 else { return nil }
            return self
        case .unsetMapping(let mapping):
            // rpcbind withdraws both protocols, whatever protocol the call names.
            return .unsetMapping(
                Mapping(
                    program: mapping.program, version: mapping.version,
                    protocolNumber: UInt32((mapping.transport ?? .tcp).rawValue), port: 0))
        case .set(let version, let rpcb):
            guard let registration = Registration(rpcb), let address = registration.address else { return nil }
            return .set(version, rebuilt(rpcb, netID: registration.netID.rawValue, address.description))
        case .unset(let version, let rpcb):
            // An empty netid stands for all netids.
            guard rpcb.netID.isEmpty || NetID(rawValue: rpcb.netID)?.transport != nil else { return nil }
            return .unset(version, rebuilt(rpcb, netID: rpcb.netID, ""))
        case .null, .getPort, .getAddress, .getVersionAddress, .dump, .callIt, .broadcast, .indirect, .getAddressList,
            .getTime, .universalToTransportAddress, .transportToUniversalAddress, .getStatistics:
            return nil
        }
    }

    private func rebuilt(_ rpcb: RPCB, netID: String, _ address: String) -> RPCB {
        RPCB(program: rpcb.program, version: rpcb.version, netID: netID, address: address, owner: "")
    }
}
