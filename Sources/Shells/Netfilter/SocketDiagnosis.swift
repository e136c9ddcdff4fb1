import Addresses
import CNetfilter
import Glibc

/// Requests to the kernel's sock_diag, about the sockets in the network namespace of the thread that called
/// `init`.
struct SocketDiagnosis {
    private let socket: NetlinkSocket

    init() throws(NetfilterError) {
        socket = try NetlinkSocket(bus: NETLINK_SOCK_DIAG)
    }

    /// - Parameters:
    ///   - port: local port of the sockets; 0 for all.
    ///   - states: a bit for each of the kernel's TCP states.
    static func query(_ transport: Transport, _ family: Int32, port: UInt16, states: UInt32) -> inet_diag_req_v2 {
        var query = inet_diag_req_v2()
        query.sdiag_family = UInt8(family)
        query.sdiag_protocol = transport.rawValue
        query.idiag_states = states
        query.id.idiag_sport = port.bigEndian
        query.id.idiag_cookie = (.max, .max)  // INET_DIAG_NOCOOKIE
        return query
    }

    /// - Parameters:
    ///   - flags: `NetlinkSocket.dump` for all sockets that match; none for one socket.
    ///   - each: takes the kernel's description of a socket, an `inet_diag_msg` and attributes.
    func ask(
        _ doing: String, _ query: inet_diag_req_v2, flags: Int32, each: (UnsafeRawBufferPointer) -> Void
    ) throws(NetfilterError) {
        var request = MessageBuffer()
        let sequence = socket.nextSequence()
        request.begin(type: UInt16(SOCK_DIAG_BY_FAMILY), flags: flags, sequence: sequence)
        request.append(query)
        request.end()
        // A look-up is answered by one socket or ENOENT, a dump by many sockets and DONE.
        _ = try socket.ask(doing, request, sequence: sequence, isSingle: flags == 0) { each($0.payload) }
    }
}
