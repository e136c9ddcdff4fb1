import Addresses
import CNetfilter
import Firewall
import Glibc

/// One direction of a flow: addresses, ports and protocol.
struct FlowTuple {
    private(set) var source: IPAddress?
    private(set) var destination: IPAddress?
    private(set) var transport: Transport?
    private(set) var sourcePort: UInt16?
    private(set) var destinationPort: UInt16?

    init(_ attributes: Attributes) {
        for part in attributes {
            for attribute in part.nested {
                switch (part.type, attribute.type) {
                case (CTA_TUPLE_IP.rawValue, CTA_IP_V4_SRC.rawValue), (CTA_TUPLE_IP.rawValue, CTA_IP_V6_SRC.rawValue):
                    source = IPAddress(networkBytes: Array(attribute.payload))
                case (CTA_TUPLE_IP.rawValue, CTA_IP_V4_DST.rawValue), (CTA_TUPLE_IP.rawValue, CTA_IP_V6_DST.rawValue):
                    destination = IPAddress(networkBytes: Array(attribute.payload))
                case (CTA_TUPLE_PROTO.rawValue, CTA_PROTO_NUM.rawValue):
                    transport = attribute.payload.first.flatMap { Transport(rawValue: $0) }
                case (CTA_TUPLE_PROTO.rawValue, CTA_PROTO_SRC_PORT.rawValue):
                    sourcePort = attribute.payload.bigEndian(UInt16.self)
                case (CTA_TUPLE_PROTO.rawValue, CTA_PROTO_DST_PORT.rawValue):
                    destinationPort = attribute.payload.bigEndian(UInt16.self)
                default: break
                }
            }
        }
    }
}

extension FlowTuple {
    typealias Ends = (client: IPAddress, service: ServicePort, server: IPAddress)

    /// The ends of a flow of which this is the original tuple.
    ///
    /// - Parameter isReversed: whether the service counts as the flow's originator.
    /// - Parameter isCallback: whether services of clients are looked for, which servers call back.
    func ends(
        _ reply: FlowTuple?, _ gateway: GatewayShape?, isReversed: Bool, isCallback: Bool
    ) -> Ends? {
        switch (isCallback, isReversed) {
        case (false, false): to(gateway, reply)
        case (false, true): begunByServer(gateway)
        case (true, false):
            calledBack(
                from: source, to: reply?.source ?? destination, at: reply?.sourcePort ?? destinationPort, gateway)
        case (true, true): calledBack(from: destination, to: source, at: sourcePort, gateway)
        }
    }

    /// The ends of a server's flow to a client's port. Both ends are told by their own addresses, as packets have
    /// them while they are forwarded.
    private func calledBack(
        from server: IPAddress?, to client: IPAddress?, at port: UInt16?, _ gateway: GatewayShape?
    ) -> Ends? {
        guard let server, let client, let transport, let port, let number = gateway?.server(at: server),
            gateway?.server(at: client) == nil
        else { return nil }
        return (client, ServicePort(transport, port, at: number.callback), server)
    }

    /// The ends of a flow that a client began, of which this is the original tuple.
    ///
    /// The reply's tuple has the server's real address and port, also if the client's packets are translated (DNAT).
    /// The original tuple has the client's address, also if it is translated on the way (masquerading).
    func to(_ gateway: GatewayShape?, _ reply: FlowTuple?) -> Ends? {
        guard let source, let destination, let transport, let destinationPort else { return nil }
        if let real = reply?.source, let port = reply?.sourcePort, let server = gateway?.server(at: real) {
            return (source, ServicePort(transport, port, at: server), real)
        }
        return (source, ServicePort(transport, destinationPort), destination)
    }

    /// The ends of a flow that a server began, from its service's port.
    func begunByServer(_ gateway: GatewayShape?) -> Ends? {
        guard let source, let destination, let transport, let sourcePort else { return nil }
        let server = gateway?.server(at: source) ?? .thisHost
        return (destination, ServicePort(transport, sourcePort, at: server), source)
    }
}
