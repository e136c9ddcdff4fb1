import CNetfilter
import Firewall
import Glibc
import Portmapper

/// The flows that the kernel's connection tracking knows of.
///
/// Of the network namespace of the thread that called `init`.
public final class Flows {
    /// More of one client's flows to one port than this are left to the rules, which stop them too.
    private static let cutMax = 65_536

    private let socket: NetlinkSocket

    public init() throws(NetfilterError) {
        socket = try NetlinkSocket(bus: NETLINK_NETFILTER)
    }

    /// Forgets every flow that one of the clients began to the service, and says how many those were.
    ///
    /// The kernel looks through all its flows for it, so the time is that of the whole table.
    public func cut(clients: AddressRange, service: ServicePort) throws(NetfilterError) -> Int {
        var count = 0
        for flow in try flows(of: clients, to: service) where try delete(flow, clients) { count += 1 }
        return count
    }

    /// The same for many at once, with one look for each family.
    public func cut(clients: Set<AddressRange>, service: ServicePort) throws(NetfilterError) -> Int {
        var count = 0
        for family in [clients.filter(\.first.isIPv4), clients.filter { !$0.first.isIPv4 }] {
            guard let first = family.map(\.first).min(), let last = family.map(\.last).max() else { continue }
            let span = AddressRange(first, last)
            let single = Set(family.filter { $0.first == $0.last }.map(\.first))
            let wide = family.filter { $0.first != $0.last }
            for flow in try flows(of: span, to: service) {
                guard let client = flow.client, single.contains(client) || wide.contains(where: { $0.contains(client) })
                else { continue }
                if try delete(flow, span) { count += 1 }
            }
        }
        return count
    }

    public func cut(client: IPAddress, service: ServicePort) throws(NetfilterError) -> Int {
        try cut(clients: AddressRange(client, client), service: service)
    }

    /// What names an entry: its original tuple, its zone, and its id, which no later flow of the same tuple has.
    struct Flow {
        var client: IPAddress?
        var tuple: [UInt8] = []
        var zone: [UInt8] = []
        var id: [UInt8] = []
    }

    private func flows(of clients: AddressRange, to service: ServicePort) throws(NetfilterError) -> [Flow] {
        var found: [Flow] = []
        let doing = "reading the flows of \(clients) to \(service)"
        try ask(doing, IPCTNL_MSG_CT_GET, NetlinkSocket.dump, clients) { request in
            request.nest(CTA_TUPLE_ORIG.rawValue) { $0.putTuple(clients.first, service) }
            // Kernels before 5.8 don't know the filter, and tell of all flows. All of them, up to 6.18 at least, compare
            // IPv6 addresses the wrong way round.
            request.nest(CTA_FILTER.rawValue) {
                let source = clients.first.isIPv4 && clients.first == clients.last ? CNF_FILTER_IP_SRC : 0
                let fields = source | CNF_FILTER_PROTO_NUM | CNF_FILTER_PROTO_DST_PORT
                $0.put(CTA_FILTER_ORIG_FLAGS.rawValue, writing: { $0.append(UInt32(fields)) })
            }
        } each: { message in
            guard found.count < Self.cutMax, let flow = Self.flow(message, from: clients, to: service) else { return }
            found.append(flow)
        }
        return found
    }

    private func delete(_ flow: Flow, _ clients: AddressRange) throws(NetfilterError) -> Bool {
        do throws(NetfilterError) {
            try ask("cutting a flow of \(clients)", IPCTNL_MSG_CT_DELETE, NLM_F_ACK, clients) { request in
                flow.tuple.withUnsafeBytes { request.put(CTA_TUPLE_ORIG.rawValue | UInt32(NLA_F_NESTED), $0) }
                if !flow.zone.isEmpty { flow.zone.withUnsafeBytes { request.put(CTA_ZONE.rawValue, $0) } }
                flow.id.withUnsafeBytes { request.put(CTA_ID.rawValue, $0) }
            }
            return true
        } catch {
            // It ended by itself.
            guard case .failed(_, ENOENT, _) = error else { throw error }
            return false
        }
    }

    static func flow(_ message: NetlinkMessage, from clients: AddressRange, to service: ServicePort) -> Flow? {
        var flow = Flow()
        for attribute in message.netfilterAttributes {
            switch attribute.type {
            case CTA_TUPLE_ORIG.rawValue:
                flow.tuple = Array(attribute.payload)
                flow.client = client(of: attribute.nested, to: service)
            case CTA_ZONE.rawValue: flow.zone = Array(attribute.payload)
            case CTA_ID.rawValue: flow.id = Array(attribute.payload)
            default: break
            }
        }
        guard let client = flow.client, clients.contains(client), !flow.id.isEmpty else { return nil }
        return flow
    }

    /// Who began the flow, if it is one to the service.
    private static func client(of tuple: Attributes, to service: ServicePort) -> IPAddress? {
        var source: [UInt8] = []
        var transport: UInt8?
        var port: UInt16?
        for part in tuple {
            for attribute in part.nested {
                switch (part.type, attribute.type) {
                case (CTA_TUPLE_IP.rawValue, CTA_IP_V4_SRC.rawValue), (CTA_TUPLE_IP.rawValue, CTA_IP_V6_SRC.rawValue):
                    source = Array(attribute.payload)
                case (CTA_TUPLE_PROTO.rawValue, CTA_PROTO_NUM.rawValue): transport = attribute.payload.first
                case (CTA_TUPLE_PROTO.rawValue, CTA_PROTO_DST_PORT.rawValue):
                    port = attribute.payload.bigEndian(UInt16.self)
                default: break
                }
            }
        }
        guard transport == service.transport.rawValue, port == service.port else { return nil }
        return IPAddress(networkBytes: source)
    }

    private func ask(
        _ doing: String, _ type: cntl_msg_types, _ flags: Int32, _ clients: AddressRange,
        _ body: (inout MessageBuffer) -> Void, each: (NetlinkMessage) -> Void = { _ in }
    ) throws(NetfilterError) {
        // A flow that came meanwhile is stopped by the rules.
        _ = try socket.askNetfilter(
            doing, subsystem: NFNL_SUBSYS_CTNETLINK, message: type.rawValue, flags: flags,
            family: clients.first.isIPv4 ? NFPROTO_IPV4 : NFPROTO_IPV6, body, each: each)
    }
}

extension MessageBuffer {
    /// The parts of a tuple that the filter looks at.
    fileprivate mutating func putTuple(_ client: IPAddress, _ service: ServicePort) {
        nest(CTA_TUPLE_IP.rawValue) { ip in
            switch client {
            case .v4(let bits): ip.put(CTA_IP_V4_SRC.rawValue, bigEndian: bits)
            case .v6(let bits): ip.put(CTA_IP_V6_SRC.rawValue, bigEndian: bits.value)
            }
        }
        nest(CTA_TUPLE_PROTO.rawValue) { transport in
            transport.put(CTA_PROTO_NUM.rawValue, bigEndian: service.transport.rawValue)
            transport.put(CTA_PROTO_DST_PORT.rawValue, bigEndian: service.port)
        }
    }
}
