import Addresses
import Firewall
import Policy
import Portmapper

extension Upstream {
    /// The results of DUMP, as XDR.
    public mutating func listing(for view: ListingView, _ policy: Policy) -> [UInt8] {
        listings[view] ?? listings.remember(dump(view, policy).encoded, as: view)
    }

    private func dump(_ view: ListingView, _ policy: Policy) -> PortmapperResult {
        let visible = (registry?.registrations ?? []).compactMap { shown($0, to: view, policy) }
        return view.isVersion2 ? .mappings(visible.compactMap(\.mapping)) : .registrations(visible.map(\.rpcb))
    }

    /// The registration as this reader may see it. rpcbind's own place is replaced by ours; services that the
    /// reader can't reach or may not look up are left out.
    private func shown(_ registration: Registration, to view: ListingView, _ policy: Policy) -> Registration? {
        if registration.program == .portmapper, let host = registration.address?.host {
            var own = registration
            let wildcard: IPAddress = host.isIPv4 ? .v4(0) : .v6(0)
            own.address = UniversalAddress(host: wildcard, port: view.port)
            // Version 2 tells only ports.
            if !view.isVersion2 { own.addressText = own.address?.description ?? "" }
            return own
        }
        guard case .clients(let number) = view.reader else {
            let isReached =
                registration.service != nil && !registration.isForThisHostOnly
                && site.holds(registration, at: view.server)
            return view.reader == .thisHost || isReached ? registration : nil
        }
        guard let service = registration.service, !registration.isForThisHostOnly, isTrusted(registration),
            site.holds(registration, at: view.server),
            policy.lists(registration.program, over: service.transport, forClass: number)
        else { return nil }
        return registration
    }

    /// The registrations that GETADDRLIST asks for: of exactly one version, with the netids of the family that it
    /// came over.
    public func registrations(of rpcb: RPCB, over netID: NetID, isLocal: Bool, at server: ServerID) -> [(
        Registration, ServicePort
    )] {
        (registry?.registrations(of: rpcb.program) ?? []).compactMap { registration in
            guard registration.version == rpcb.version, registration.netID.protocolFamily == netID.protocolFamily,
                isLocal || !registration.isForThisHostOnly, site.holds(registration, at: server),
                let service = registration.service
            else { return nil }
            return (registration, service.at(server))
        }
    }
}

extension Registration {
    /// Version 2 knows only UDP and TCP over IPv4.
    fileprivate var mapping: Mapping? {
        guard netID == .udp || netID == .tcp, let service else { return nil }
        return Mapping(
            program: program, version: version, protocolNumber: UInt32(service.transport.rawValue),
            port: UInt32(service.port))
    }

    fileprivate var rpcb: RPCB {
        RPCB(
            program: program, version: version, netID: netID.rawValue, address: addressText,
            owner: owner)
    }
}
