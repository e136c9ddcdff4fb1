import Addresses
import CNetfilter
import Firewall

extension MessageBuffer {
    /// Restricts the kernel's answer to flows to the service, or from it.
    ///
    /// Kernels before 5.8 don't know the filter and report all flows. All kernels, up to 6.18 at least, compare
    /// IPv6 addresses the wrong way round, so `client` must be an IPv4 address.
    mutating func putFilter(_ service: ServicePort, of client: IPAddress? = nil, begunThere: Bool) {
        guard begunThere || service.server == .thisHost else { return putForwardedFilter(service, of: client) }
        // A client's packets from its own port.
        guard !service.server.isCallback else { return putFilter(from: service, of: client) }
        nest(CTA_TUPLE_ORIG.rawValue) { tuple in
            if let client { tuple.putAddress(begunThere ? CTA_IP_V4_DST : CTA_IP_V4_SRC, client) }
            tuple.putPort(begunThere ? CTA_PROTO_SRC_PORT : CTA_PROTO_DST_PORT, service)
        }
        let address = client == nil ? 0 : begunThere ? CNF_FILTER_IP_DST : CNF_FILTER_IP_SRC
        let port = begunThere ? CNF_FILTER_PROTO_SRC_PORT : CNF_FILTER_PROTO_DST_PORT
        nest(CTA_FILTER.rawValue) { $0.putFlags(CTA_FILTER_ORIG_FLAGS, address | CNF_FILTER_PROTO_NUM | port) }
    }

    private mutating func putFilter(from service: ServicePort, of client: IPAddress?) {
        nest(CTA_TUPLE_ORIG.rawValue) { tuple in
            if let client { tuple.putAddress(CTA_IP_V4_SRC, client) }
            tuple.putPort(CTA_PROTO_SRC_PORT, service)
        }
        let address = client == nil ? 0 : CNF_FILTER_IP_SRC
        nest(CTA_FILTER.rawValue) {
            $0.putFlags(CTA_FILTER_ORIG_FLAGS, address | CNF_FILTER_PROTO_NUM | CNF_FILTER_PROTO_SRC_PORT)
        }
    }

    /// The client is in the original tuple, and the server's real port in the reply's. A client that is called back has
    /// its port in the reply's.
    private mutating func putForwardedFilter(_ service: ServicePort, of client: IPAddress?) {
        let client = service.server.isCallback ? nil : client
        if let client { nest(CTA_TUPLE_ORIG.rawValue) { $0.putAddress(CTA_IP_V4_SRC, client) } }
        nest(CTA_TUPLE_REPLY.rawValue) { $0.putPort(CTA_PROTO_SRC_PORT, service) }
        nest(CTA_FILTER.rawValue) {
            if client != nil { $0.putFlags(CTA_FILTER_ORIG_FLAGS, CNF_FILTER_IP_SRC) }
            $0.putFlags(CTA_FILTER_REPLY_FLAGS, CNF_FILTER_PROTO_NUM | CNF_FILTER_PROTO_SRC_PORT)
        }
    }

    private mutating func putAddress(_ attribute: ctattr_ip, _ address: IPAddress) {
        guard case .v4(let bits) = address else { return }
        nest(CTA_TUPLE_IP.rawValue) { $0.put(attribute.rawValue, bigEndian: bits) }
    }

    private mutating func putPort(_ attribute: ctattr_l4proto, _ service: ServicePort) {
        nest(CTA_TUPLE_PROTO.rawValue) {
            $0.put(CTA_PROTO_NUM.rawValue, bigEndian: service.transport.rawValue)
            $0.put(attribute.rawValue, bigEndian: service.port)
        }
    }

    private mutating func putFlags(_ attribute: ctattr_filter, _ flags: Int32) {
        put(attribute.rawValue) { $0.append(UInt32(flags)) }
    }
}
