import Addresses
import CNetfilter
import Firewall
import Glibc

/// Queries the kernel's sock_diag for listening sockets.
///
/// Works in the network namespace of the thread that called `init`.
public final class Listeners {
    private let diagnosis: SocketDiagnosis

    public init() throws(NetfilterError) {
        diagnosis = try SocketDiagnosis()
    }

    /// The listeners of many ports; the result also contains ports without any listener.
    ///
    /// A dump searches all sockets of the host, whichever ports are asked for. So a few ports are looked up one by
    /// one first. Such a look-up finds sockets that listen at all addresses; only dumps find the others.
    public func listening(_ services: Set<ServicePort>) throws(NetfilterError) -> [ServicePort: ListenerState] {
        var states: [ServicePort: ListenerState] = [:]
        for service in services {
            states[service] = services.count <= Self.looksMax ? try listenerAtAllAddresses(service) : ListenerState()
        }
        for transport in Transport.allCases {
            for family in [AF_INET, AF_INET6] {
                let needed = states.filter { service, state in
                    service.transport == transport && !(family == AF_INET ? state.ipv4 : state.ipv6)
                }
                try dump(transport, family, ports: needed.keys.map(\.port)) {
                    states[ServicePort(transport, $0)]?.add($1)
                }
            }
        }
        return states
    }

    /// A look-up costs a tenth of a dump.
    private static let looksMax = 4

    /// The socket that would receive a packet to any address, if each family has one.
    private func listenerAtAllAddresses(_ service: ServicePort) throws(NetfilterError) -> ListenerState {
        var state = ListenerState()
        for family in [AF_INET, AF_INET6] where !(family == AF_INET ? state.ipv4 : state.ipv6) {
            var query = query(service.transport, family, port: service.port)
            // For UDP the kernel reads this request as if it were a packet, and takes the port from the
            // destination field.
            if service.transport == .udp { swap(&query.id.idiag_sport, &query.id.idiag_dport) }
            do throws(NetfilterError) {
                try ask(query, flags: 0) { listener in
                    if listener.port == service.port { state.add(listener.socket) }
                }
            } catch {
                guard case .failed(_, ENOENT, _) = error else { throw error }
            }
        }
        return state
    }

    private func dump(
        _ transport: Transport, _ family: Int32, ports: [UInt16], each: (UInt16, ListenerSocket) -> Void
    ) throws(NetfilterError) {
        // A socket that opens or closes during the dump may be missed, as by a dump a moment earlier or later.
        try diagnosis.dump(Self.doing, query(transport, family, port: 0), ports: ports) { payload in
            if let listener = Listener(payload) { each(listener.port, listener.socket) }
        }
    }

    private static let doing = "asking who listens"

    private func query(_ transport: Transport, _ family: Int32, port: UInt16) -> inet_diag_req_v2 {
        SocketDiagnosis.query(transport, family, port: port, states: 1 << Self.listeningState(transport))
    }

    private func ask(
        _ query: inet_diag_req_v2, flags: Int32, each: (Listener) -> Void
    ) throws(NetfilterError) {
        try diagnosis.ask(Self.doing, query, flags: flags) { payload in
            if let listener = Listener(payload) { each(listener) }
        }
    }

    /// TCP listens in TCP_LISTEN; a UDP socket that is bound but not connected is in TCP_CLOSE.
    private static func listeningState(_ transport: Transport) -> UInt32 {
        switch transport {
        case .tcp: 10
        case .udp: 7
        }
    }
}

extension ListenerState {
    /// Adds the socket, unless no other host can reach it.
    fileprivate mutating func add(_ socket: ListenerSocket) {
        if socket.ipv4 || socket.ipv6 { sockets.insert(socket) }
    }
}

/// A socket that the kernel reported.
struct Listener {
    /// LOOPBACK_IFINDEX of net/flow.h: the interface "lo", which SO_BINDTODEVICE may have bound the socket to.
    private static let loopbackInterface: UInt32 = 1

    let port: UInt16
    let socket: ListenerSocket

    init?(_ payload: UnsafeRawBufferPointer) {
        let size = MemoryLayout<inet_diag_msg>.size
        guard payload.count >= size else { return nil }
        let message = payload.loadUnaligned(as: inet_diag_msg.self)
        port = UInt16(bigEndian: message.id.idiag_sport)
        guard let (ipv4, ipv6) = Self.families(message, payload.dropping(size)) else { return nil }
        let cookie = UInt64(message.id.idiag_cookie.1) << 32 | UInt64(message.id.idiag_cookie.0)
        socket = ListenerSocket(cookie: cookie, uid: message.idiag_uid, ipv4: ipv4, ipv6: ipv6)
    }

    /// The families over which other hosts reach the socket; `nil`: its address can't be read.
    private static func families(
        _ message: inet_diag_msg, _ attributes: UnsafeRawBufferPointer
    ) -> (ipv4: Bool, ipv6: Bool)? {
        let bytes = withUnsafeBytes(of: message.id.idiag_src) { Array($0) }
        guard message.id.idiag_if != loopbackInterface else { return (false, false) }
        guard message.idiag_family == UInt8(AF_INET6) else {
            return IPAddress(networkBytes: bytes.prefix(4)).map { (!$0.isLoopback, false) }
        }
        // IPAddress stores ::ffff:a.b.c.d as IPv4, and a socket at such an address only receives IPv4.
        let isV6Only = Attributes(attributes).contains {
            $0.type == UInt32(INET_DIAG_SKV6ONLY) && $0.payload.first == 1
        }
        return IPAddress(networkBytes: bytes.prefix(16)).map { address in
            (
                address.isIPv4 ? !address.isLoopback : address.isUnspecified && !isV6Only,
                !address.isIPv4 && !address.isLoopback
            )
        }
    }
}
