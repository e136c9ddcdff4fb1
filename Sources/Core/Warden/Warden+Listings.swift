import Addresses
import Clock
import ONCRPC
import Policy
import Portmapper

extension Warden {
    /// Answers DUMP and GETADDRLIST from a registry that is newer than the question.
    mutating func list(_ id: Exchange.ID, _ request: Exchange.Request, at now: Instant, into actions: inout [Action]) {
        switch request.call {
        case .dump(let version):
            let view = view(of: request, version)
            let results = listings[view] ?? listings.remember(dump(version, to: request).encoded, as: view)
            guard isAffordable(results.count, id, request, at: now, into: &actions) else { return }
            guard let request = take(id) else { return }
            finish(request, results, isRegistered: true, at: now, into: &actions)
        case .getAddressList(let rpcb): listAddresses(of: rpcb, for: id, request, at: now, into: &actions)
        case .null, .setMapping, .unsetMapping, .getPort, .set, .unset, .getAddress, .getVersionAddress, .callIt,
            .broadcast, .indirect, .getTime, .universalToTransportAddress, .transportToUniversalAddress,
            .getStatistics:
            break
        }
    }

    private func dump(_ version: PortmapperVersion, to request: Exchange.Request) -> PortmapperResult {
        let visible = (registry?.registrations ?? []).compactMap { shown($0, to: request) }
        return version == .v2 ? .mappings(visible.compactMap(\.mapping)) : .registrations(visible.map(\.rpcb))
    }

    /// All inputs of ``shown(_:to:)`` and of the list's form.
    private func view(of request: Exchange.Request, _ version: PortmapperVersion) -> ListingCache.View {
        let reader: ListingCache.Reader =
            if request.peer.isLocal {
                .thisHost
            } else if request.permission.liftedDenial != nil {
                .observed
            } else {
                .clients(policy.classNumber(of: request.peer.address))
            }
        return ListingCache.View(reader: reader, isVersion2: version == .v2, port: request.peer.asked.port)
    }

    /// Whether UDP may carry the listing. If not, denies it, also in observe mode: the peer's address may be
    /// forged.
    private mutating func isAffordable(
        _ resultBytes: Int, _ id: Exchange.ID, _ request: Exchange.Request, at now: Instant,
        into actions: inout [Action]
    ) -> Bool {
        guard request.peer.transport == .udp else { return true }
        let byteCount = Reply.successHeaderBytes + resultBytes
        guard byteCount <= ListingBudget.datagramBytesMax else {
            let detail = "a list of \(byteCount) bytes exceeds a datagram"
            deny(id, .listOverUDP, detail: detail, at: now, into: &actions)
            return false
        }
        guard request.peer.isLocal || listingBudget.admits(byteCount, to: request.peer.address, at: now) else {
            deny(id, .rate, detail: "lists over UDP", at: now, into: &actions)
            return false
        }
        return true
    }

    /// The registration as this client may see it. rpcbind's own place is replaced by ours; services that the
    /// client can't reach or may not look up are left out.
    private func shown(_ registration: Registration, to request: Exchange.Request) -> Registration? {
        if registration.program == .portmapper, let host = registration.address?.host {
            var own = registration
            let wildcard: IPAddress = host.isIPv4 ? .v4(0) : .v6(0)
            own.address = UniversalAddress(host: wildcard, port: request.peer.asked.port)
            // Version 2 tells only ports.
            if request.call != .dump(.v2) { own.addressText = own.address?.description ?? "" }
            return own
        }
        if request.peer.isLocal { return registration }
        guard let service = registration.service, !registration.isForThisHostOnly else { return nil }
        if request.permission.liftedDenial != nil { return registration }
        guard trustedOwners.contains(registration.owner) else { return nil }
        return policy.lists(registration.program, over: service.transport, for: request.peer.address)
            ? registration : nil
    }

    /// GETADDRLIST is a look-up of several services at once: some clients connect to the addresses in its reply.
    ///
    /// It asks for exactly one version, and is answered with the netids of the family that it came over.
    private mutating func listAddresses(
        of rpcb: RPCB, for id: Exchange.ID, _ request: Exchange.Request, at now: Instant,
        into actions: inout [Action]
    ) {
        let client = request.peer.address
        let isOpened = !request.peer.isLocal && request.permission.liftedDenial == nil
        var entries: [AddressEntry] = []
        var wanted: [Exchange.Service] = []
        for registration in registry?.registrations(of: rpcb.program) ?? []
        where registration.version == rpcb.version
            && registration.netID.protocolFamily == request.peer.netID.protocolFamily
        {
            guard let service = registration.service, request.peer.isLocal || !registration.isForThisHostOnly else {
                continue
            }
            if isOpened {
                // A service that can't be opened is left out; GETADDR would deny it.
                guard trustedOwners.contains(registration.owner), services.isAlive(service, ipv4: client.isIPv4),
                    !settings.firewall.never.contains(service.port),
                    case .permitted(let rule, let open) = policy.lookup(
                        registration.program, over: service.transport, by: client)
                else { continue }
                wanted.append(
                    Exchange.Service(
                        program: registration.program, port: service, rule: policy.rules[rule].label, open: open))
            }
            let host = registration.host(asked: request.peer)
            entries.append(AddressEntry(registration.netID, UniversalAddress(host: host, port: service.port)))
        }
        let result = PortmapperResult.addressList(entries)
        guard isAffordable(result.encoded.count, id, request, at: now, into: &actions) else { return }
        exchanges.change(id) { ($0.result, $0.services) = (result, wanted) }
        inspect(id, at: now, into: &actions)
    }
}

extension AddressEntry {
    init(_ netID: NetID, _ address: UniversalAddress) {
        self.init(
            address: address.description, netID: netID.rawValue, semantics: netID.semantics,
            protocolFamily: netID.protocolFamily, protocolName: netID.protocolName)
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
