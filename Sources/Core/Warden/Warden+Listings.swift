import Addresses
import Calls
import Clock
import Exchanges
import ONCRPC
import Policy
import Portmapper
import Upstream
import Watch

extension Warden {
    /// Answers DUMP from a registry that is newer than the question.
    mutating func list(
        _ id: Exchange.ID, _ version: PortmapperVersion, at now: Instant, into actions: inout [Action]
    ) {
        guard let request = exchanges.request(of: id) else { return }
        let policy = servers.rules(about: request.server).policy
        let results = servers[request.server].upstream.listing(for: view(of: request, version), policy)
        guard isAffordable(results.count, id, request, at: now, into: &actions), let request = end(id) else { return }
        finish(request, results, isRegistered: true, at: now, into: &actions)
    }

    private func view(of request: Exchange.Request, _ version: PortmapperVersion) -> ListingView {
        let reader: ListingView.Reader =
            if request.peer.isLocal {
                .thisHost
            } else if request.permission.liftedDenial != nil {
                .observed
            } else {
                .clients(servers.rules(about: request.server).policy.classNumber(of: request.peer.address))
            }
        return ListingView(reader: reader, version, askedAt: request.peer.asked.port, of: request.asked)
    }

    /// Whether UDP may carry the listing. If not, denies it, also in observe mode: the peer's address may be
    /// forged.
    private mutating func isAffordable(
        _ resultBytes: Int, _ id: Exchange.ID, _ request: Exchange.Request, at now: Instant,
        into actions: inout [Action]
    ) -> Bool {
        guard request.peer.transport == .udp else { return true }
        let byteCount = Reply.successHeaderBytes + resultBytes
        guard byteCount <= Watch.listingBytesMax else {
            let detail = "a list of \(byteCount) bytes exceeds a datagram"
            deny(id, .listOverUDP, detail: detail, at: now, into: &actions)
            return false
        }
        guard request.peer.isLocal || watch.admitsListing(byteCount, to: request.peer.address, at: now) else {
            deny(id, .rate, detail: "lists over UDP", at: now, into: &actions)
            return false
        }
        return true
    }

    /// GETADDRLIST is a look-up of several services at once: some clients connect to the addresses in its reply.
    mutating func listAddresses(
        of rpcb: RPCB, for id: Exchange.ID, _ request: Exchange.Request, at now: Instant,
        into actions: inout [Action]
    ) {
        let peer = request.peer
        let rules = servers.rules(about: request.server)
        let isOpened = !peer.isLocal && request.permission.liftedDenial == nil
        var entries: [AddressEntry] = []
        var wanted: [ServiceOpening] = []
        for (registration, service) in servers[request.server].upstream.registrations(
            of: rpcb, over: peer.netID, isLocal: peer.isLocal, at: request.asked)
        {
            if isOpened {
                // A service that can't be opened is left out; GETADDR would deny it.
                guard servers[request.server].upstream.isTrusted(registration), !rules.spares(service),
                    servers[request.server].upstream.services.isAlive(service, ipv4: peer.address.isIPv4),
                    let opening = rules.newOpening(registration.program, at: service, for: peer.address)
                else { continue }
                wanted.append(opening)
            }
            let host = request.asked == .thisHost ? registration.host(asked: peer) : peer.asked.host
            entries.append(AddressEntry(registration.netID, UniversalAddress(host: host, port: service.port)))
        }
        let result = PortmapperResult.addressList(entries)
        guard isAffordable(result.encoded.count, id, request, at: now, into: &actions) else { return }
        open(wanted, for: id, peer, answering: result, at: now, into: &actions)
    }
}
