import Addresses
import CNetfilter
import Firewall

/// A conntrack entry in a message of the kernel, valid as long as the message.
struct FlowEntry {
    private let original: FlowTuple
    private var reply: FlowTuple?
    private var tuple = UnsafeRawBufferPointer(start: nil, count: 0)
    private var zone = UnsafeRawBufferPointer(start: nil, count: 0)
    private var id = UnsafeRawBufferPointer(start: nil, count: 0)
    private var isTranslated = false
    private let gateway: GatewayShape?

    init?(_ message: NetlinkMessage, _ gateway: GatewayShape?) {
        var original: FlowTuple?
        for attribute in message.netfilterAttributes {
            switch attribute.type {
            case CTA_TUPLE_ORIG.rawValue:
                original = FlowTuple(attribute.nested)
                tuple = attribute.payload
            case CTA_TUPLE_REPLY.rawValue: reply = FlowTuple(attribute.nested)
            case CTA_ZONE.rawValue: zone = attribute.payload
            case CTA_ID.rawValue: id = attribute.payload
            case CTA_STATUS.rawValue:
                isTranslated = (attribute.payload.bigEndian(UInt32.self) ?? 0) & IPS_DST_NAT.rawValue != 0
            default: break
            }
        }
        guard let original, !id.isEmpty else { return nil }
        self.original = original
        self.gateway = gateway
    }

    /// The entry as a flow of the service, if it is one of those that are needed.
    ///
    /// - Parameters:
    ///   - begunThere: whether the service counts as the flow's originator, as it may for UDP.
    ///   - isCallback: whether the service is a client's one, which a server uses.
    func flow(begunThere: Bool, isCallback: Bool = false, _ isNeeded: (ServicePort) -> Bool) -> Flows.Flow? {
        guard
            let (client, service, server) = original.ends(
                reply, gateway, isReversed: begunThere, isCallback: isCallback),
            isNeeded(service), !begunThere || service.transport == .udp
        else { return nil }
        return Flows.Flow(
            client: client, service: service, server: server, isTranslated: isTranslated, tuple: Array(tuple),
            zone: Array(zone), id: Array(id))
    }
}
