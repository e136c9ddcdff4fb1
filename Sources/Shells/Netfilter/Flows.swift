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

    private let socket: NetlinkSocket

    public convenience init() throws(NetfilterError) { try self.init(roundMax: 65_536) }

    init(roundMax: Int) throws(NetfilterError) {
        self.roundMax = roundMax
        socket = try NetlinkSocket(bus: NETLINK_NETFILTER)
    }

    /// Deletes every flow between the clients and the service, and returns their count: the flows that a client
    /// began, and for UDP, where requests and replies look the same, also the flows that the service seems to have
    /// begun.
    ///
    /// The kernel searches all its flows, so the time depends on the size of the whole table.
    /// - Parameter gateway: needed for a server's service, and to tell this host's flows from those of servers.
    /// - Parameter note: gets the clients before their flows are deleted; called once a round, and again for
    ///   clients with more flows.
    public func cut(
        clients: Set<AddressRange>, service: ServicePort, _ gateway: GatewayShape? = nil,
        noting note: (Set<IPAddress>) throws(NetfilterError) -> Void = { (_: Set<IPAddress>) throws(NetfilterError) in }
    ) throws(NetfilterError) -> Int {
        try cutAll { () throws(NetfilterError) -> [Flow] in
            let found = try flows(of: clients, with: service, gateway)
            try note(Set(found.map(\.client)))
            return found
        }
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
        try look(at: services, gateway) { flow in
            if flow.isIncoming(isOurs) { keys.insert(flow.key) }
        }
        return keys
    }

    /// Deletes the flows that these clients began to these services, at this host's addresses or at servers.
    func cut(
        _ keys: Set<GrantKey>, isOurs: Set<IPAddress>, _ gateway: GatewayShape? = nil
    ) throws(NetfilterError) -> Int {
        try cutAll { () throws(NetfilterError) -> [Flow] in
            var found: [Flow] = []
            try look(at: Set(keys.map(\.service)), gateway) { flow in
                if found.count < roundMax, flow.isIncoming(isOurs), keys.contains(flow.key) { found.append(flow) }
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
    private static let looksMax = 8

    private func look(
        at services: Set<ServicePort>, _ gateway: GatewayShape?, each: (Flow) -> Void
    ) throws(NetfilterError) {
        let doing = "reading the flows to \(services.count) ports"
        for family in [NFPROTO_IPV4, NFPROTO_IPV6] {
            let looks: [ServicePort?] = services.count <= Self.looksMax ? services.map { $0 } : [nil]
            for service in looks {
                try ask(doing, IPCTNL_MSG_CT_GET, NetlinkSocket.dump, family) { request in
                    if let service { request.putFilter(service, begunThere: false) }
                } each: { message in
                    if let service,
                        let flow = Self.flow(
                            message, isCallback: service.server.isCallback, gateway, with: { $0 == service })
                    {
                        each(flow)
                    }
                    if service == nil, let flow = Self.flow(message, gateway, with: services.contains) { each(flow) }
                }
            }
        }
    }

    private func flows(
        of clients: Set<AddressRange>, with service: ServicePort, _ gateway: GatewayShape?
    ) throws(NetfilterError) -> [Flow] {
        var found: [Flow] = []
        for family in [clients.filter(\.first.isIPv4), clients.filter { !$0.first.isIPv4 }] {
            guard let first = family.map(\.first).min(), let last = family.map(\.last).max() else { continue }
            let span = AddressRange(first, last)
            let single = Set(family.filter { $0.first == $0.last }.map(\.first))
            let wide = family.filter { $0.first != $0.last }
            found += try flows(of: span, with: service, gateway) { flow in
                single.contains(flow.client) || wide.contains { $0.contains(flow.client) }
            }
        }
        return found
    }

    private func flows(
        of clients: AddressRange, with service: ServicePort, _ gateway: GatewayShape?, _ isWanted: (Flow) -> Bool
    ) throws(NetfilterError) -> [Flow] {
        var found: [Flow] = []
        let doing = "reading the flows of \(clients) to \(service)"
        for begunThere in service.transport == .udp ? [false, true] : [false] {
            try ask(doing, IPCTNL_MSG_CT_GET, NetlinkSocket.dump, Self.family(clients)) { request in
                let client = clients.first.isIPv4 && clients.first == clients.last ? clients.first : nil
                request.putFilter(service, of: client, begunThere: begunThere)
            } each: { message in
                guard found.count < roundMax,
                    let flow = Self.flow(
                        message, begunThere: begunThere, isCallback: service.server.isCallback, gateway,
                        with: { $0 == service }),
                    clients.contains(flow.client), isWanted(flow)
                else { return }
                found.append(flow)
            }
        }
        return found
    }

    private static func family(_ clients: AddressRange) -> Int { clients.first.isIPv4 ? NFPROTO_IPV4 : NFPROTO_IPV6 }

    private func delete(_ flows: [Flow]) throws(NetfilterError) -> Int {
        var count = 0
        for flow in flows where try delete(flow, AddressRange(flow.client, flow.client)) { count += 1 }
        return count
    }

    private func delete(_ flow: Flow, _ clients: AddressRange) throws(NetfilterError) -> Bool {
        do throws(NetfilterError) {
            try ask("cutting a flow of \(clients)", IPCTNL_MSG_CT_DELETE, NLM_F_ACK, Self.family(clients)) { request in
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

    /// - Parameter begunThere: whether the service counts as the flow's originator.
    /// - Parameter isCallback: whether the services are clients' ones.
    static func flow(
        _ message: NetlinkMessage, begunThere: Bool = false, isCallback: Bool = false,
        _ gateway: GatewayShape? = nil, with isService: (ServicePort) -> Bool
    ) -> Flow? {
        var (original, reply) = (FlowTuple?.none, FlowTuple?.none)
        var (tuple, zone, id, isTranslated) = ([UInt8](), [UInt8](), [UInt8](), false)
        for attribute in message.netfilterAttributes {
            switch attribute.type {
            case CTA_TUPLE_ORIG.rawValue:
                original = FlowTuple(attribute.nested)
                tuple = Array(attribute.payload)
            case CTA_TUPLE_REPLY.rawValue: reply = FlowTuple(attribute.nested)
            case CTA_ZONE.rawValue: zone = Array(attribute.payload)
            case CTA_ID.rawValue: id = Array(attribute.payload)
            case CTA_STATUS.rawValue:
                isTranslated = (attribute.payload.bigEndian(UInt32.self) ?? 0) & IPS_DST_NAT.rawValue != 0
            default: break
            }
        }
        guard let original, !id.isEmpty,
            let (client, service, server) = original.ends(
                reply, gateway, isReversed: begunThere, isCallback: isCallback),
            isService(service)
        else { return nil }
        return Flow(
            client: client, service: service, server: server, isTranslated: isTranslated, tuple: tuple, zone: zone,
            id: id)
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
