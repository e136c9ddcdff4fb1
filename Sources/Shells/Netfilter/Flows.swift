import Addresses
import CNetfilter
import Firewall
import Glibc

/// The flows in the kernel's connection tracking.
///
/// Works in the network namespace of the thread that called `init`.
public final class Flows {
    /// Flows of each family held in memory at once; they are cut before the next round looks for more.
    private let roundMax: Int
    /// Bounds the rounds: a server that keeps sending to more clients than this makes flows as fast as they are cut.
    private static let roundsMax = 32

    /// Its sequence numbers count the requests.
    let socket: NetlinkSocket

    public convenience init() throws(NetfilterError) { try self.init(roundMax: 65_536) }

    init(roundMax: Int) throws(NetfilterError) {
        self.roundMax = roundMax
        socket = try NetlinkSocket(bus: NETLINK_NETFILTER)
    }

    /// Deletes every flow between these services and their clients, and returns their count: the flows that a client
    /// began, and for UDP, where requests and replies look the same, also the flows that a service seems to have
    /// begun.
    ///
    /// The kernel searches all its flows for each dump. The number of dumps doesn't grow with that of the services.
    /// - Parameter gateway: needed for a server's service, and to tell this host's flows from those of servers.
    /// - Parameter note: gets the clients before their flows are deleted; called once a round, and again for
    ///   clients with more flows.
    public func cut(
        _ cuts: [ServicePort: Set<AddressRange>], _ gateway: GatewayShape? = nil,
        noting note: (Set<GrantKey>) throws(NetfilterError) -> Void = { (_: Set<GrantKey>) throws(NetfilterError) in }
    ) throws(NetfilterError) -> Int {
        let (ipv4, ipv6) = (Self.clients(cuts, \.first.isIPv4), Self.clients(cuts) { !$0.first.isIPv4 })
        return try cutAll { () throws(NetfilterError) -> [Flow] in
            var found: [Flow] = []
            for (family, clients) in [(NFPROTO_IPV4, ipv4), (NFPROTO_IPV6, ipv6)] where !clients.isEmpty {
                try look(at: Set(clients.keys), family, gateway, bothWays: true) {
                    clients[$0]?.onlyIPv4
                } each: {
                    guard found.count < roundMax, clients[$0.service]?.range(holding: $0.client) != nil else { return }
                    found.append($0)
                }
            }
            try note(Set(found.map(\.key)))
            return found
        }
    }

    /// The clients of one family as disjoint ranges, by the services that have any.
    private static func clients(
        _ cuts: [ServicePort: Set<AddressRange>], _ isOfFamily: (AddressRange) -> Bool
    ) -> [ServicePort: [AddressRange]] {
        cuts.mapValues { Array($0.filter(isOfFamily)).union }.filter { !$0.value.isEmpty }
    }

    /// A conntrack entry. Its identity is its original tuple, its zone, and its id, which no later flow of the
    /// same tuple has.
    struct Flow {
        var client: IPAddress
        /// A server's service, if the packets go to a server.
        var service: ServicePort
        /// The service's address, as its client knows it.
        var server: IPAddress
        var isTranslated = false
        var tuple: [UInt8]
        var zone: [UInt8] = []
        var id: [UInt8] = []

        var key: GrantKey { GrantKey(client: client, service: service) }
    }

    /// The clients that began a flow to one of the services, at one of this host's addresses or at a server; this host
    /// itself is left out.
    func clients(
        of services: Set<ServicePort>, isOurs: Set<IPAddress>, _ gateway: GatewayShape? = nil
    ) throws(NetfilterError) -> Set<GrantKey> {
        var keys: Set<GrantKey> = []
        for family in [NFPROTO_IPV4, NFPROTO_IPV6] {
            try look(at: services, family, gateway) { flow in
                if flow.isIncoming(isOurs) { keys.insert(flow.key) }
            }
        }
        return keys
    }

    /// Deletes the flows that these clients began to these services, at this host's addresses or at servers.
    func cut(
        _ keys: Set<GrantKey>, isOurs: Set<IPAddress>, _ gateway: GatewayShape? = nil
    ) throws(NetfilterError) -> Int {
        try cutAll { () throws(NetfilterError) -> [Flow] in
            var found: [Flow] = []
            for family in [NFPROTO_IPV4, NFPROTO_IPV6] {
                try look(at: Set(keys.map(\.service)), family, gateway) { flow in
                    if found.count < roundMax, flow.isIncoming(isOurs), keys.contains(flow.key) { found.append(flow) }
                }
            }
            return found
        }
    }

    /// Cuts round by round until none is found: a remaining flow would stay admitted by its mark.
    private func cutAll(_ find: () throws(NetfilterError) -> [Flow]) throws(NetfilterError) -> Int {
        var count = 0
        for _ in 0..<Self.roundsMax {
            let found = try find()
            let cut = try delete(found)
            count += cut
            if found.count < roundMax || cut == 0 { break }
        }
        return count
    }

    /// Up to this many services are queried one by one, which is faster than a dump of all flows.
    static let looksMax = 8

    /// - Parameters:
    ///   - bothWays: for UDP, look also for flows that a service seems to have begun.
    ///   - only: the only client whose flows to the service are needed; the kernel leaves out others.
    private func look(
        at services: Set<ServicePort>, _ family: Int, _ gateway: GatewayShape?, bothWays: Bool = false,
        only: (ServicePort) -> IPAddress? = { _ in nil }, each: (Flow) -> Void
    ) throws(NetfilterError) {
        let doing = "reading the flows to \(services.count) ports"
        let hasCallbacks = services.contains(where: \.server.isCallback)
        guard services.count <= Self.looksMax else {
            return try ask(doing, IPCTNL_MSG_CT_GET, NetlinkSocket.dump, family) { _ in
            } each: { message in
                guard let entry = FlowEntry(message, gateway) else { return }
                for isCallback in hasCallbacks ? [false, true] : [false] {
                    for begunThere in bothWays ? [false, true] : [false] {
                        let flow = entry.flow(begunThere: begunThere, isCallback: isCallback, services.contains)
                        if let flow { each(flow) }
                    }
                }
            }
        }
        for service in services {
            for begunThere in bothWays && service.transport == .udp ? [false, true] : [false] {
                try ask(doing, IPCTNL_MSG_CT_GET, NetlinkSocket.dump, family) { request in
                    request.putFilter(service, of: only(service), begunThere: begunThere)
                } each: { message in
                    let entry = FlowEntry(message, gateway)
                    let flow = entry?.flow(begunThere: begunThere, isCallback: service.server.isCallback) {
                        $0 == service
                    }
                    if let flow { each(flow) }
                }
            }
        }
    }

    private func delete(_ flows: [Flow]) throws(NetfilterError) -> Int {
        var count = 0
        for flow in flows where try delete(flow) { count += 1 }
        return count
    }

    private func delete(_ flow: Flow) throws(NetfilterError) -> Bool {
        let family = flow.client.isIPv4 ? NFPROTO_IPV4 : NFPROTO_IPV6
        do throws(NetfilterError) {
            try ask("cutting a flow of \(flow.client)", IPCTNL_MSG_CT_DELETE, NLM_F_ACK, family) { request in
                flow.tuple.withUnsafeBytes { request.put(CTA_TUPLE_ORIG.rawValue | UInt32(NLA_F_NESTED), $0) }
                if !flow.zone.isEmpty { flow.zone.withUnsafeBytes { request.put(CTA_ZONE.rawValue, $0) } }
                flow.id.withUnsafeBytes { request.put(CTA_ID.rawValue, $0) }
            }
            return true
        } catch {
            // The flow has ended by itself.
            guard case .failed(_, ENOENT, _) = error else { throw error }
            return false
        }
    }

    private func ask(
        _ doing: String, _ type: cntl_msg_types, _ flags: Int32, _ family: Int,
        _ body: (inout MessageBuffer) -> Void, each: (NetlinkMessage) -> Void = { _ in }
    ) throws(NetfilterError) {
        // The rules stop flows that appear while the kernel answers.
        _ = try socket.askNetfilter(
            doing, subsystem: NFNL_SUBSYS_CTNETLINK, message: type.rawValue, flags: flags,
            family: family, body, each: each)
    }
}

extension Flows.Flow {
    /// Whether the flow comes from another host to one of this host's addresses, or to a server.
    fileprivate func isIncoming(_ isOurs: Set<IPAddress>) -> Bool {
        guard !isOurs.contains(client), !client.isLoopback else { return false }
        return service.server != .thisHost || !isTranslated && isOurs.contains(server)
    }
}

extension [AddressRange] {
    /// The one address in these ranges, if it is of IPv4.
    fileprivate var onlyIPv4: IPAddress? {
        guard count == 1, let range = first, range.first.isIPv4, range.first == range.last else { return nil }
        return range.first
    }
}
