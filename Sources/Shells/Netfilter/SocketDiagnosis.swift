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

    /// The most ports of one dump: the kernel compares each socket's port with one after the other.
    static let portsMax = 256

    /// All sockets that match the query and have one of these local ports.
    ///
    /// The kernel leaves out the others as it walks its tables. If they were reported, a dump would take as long as
    /// local users like: a full reply interrupts the walk, which then starts anew at the hash slot's first socket.
    func dump(
        _ doing: String, _ query: inet_diag_req_v2, ports: some Sequence<UInt16>,
        each: (UnsafeRawBufferPointer) -> Void
    ) throws(NetfilterError) {
        let ports = Array(ports)
        for start in stride(from: 0, to: ports.count, by: Self.portsMax) {
            let some = ports[start..<min(start + Self.portsMax, ports.count)]
            try ask(doing, query, flags: NetlinkSocket.dump, ports: some, each: each)
        }
    }

    /// - Parameters:
    ///   - flags: `NetlinkSocket.dump` for all sockets that match; none for one socket.
    ///   - ports: the local ports of a dump; none for any port.
    ///   - each: takes the kernel's description of a socket, an `inet_diag_msg` and attributes.
    func ask(
        _ doing: String, _ query: inet_diag_req_v2, flags: Int32, ports: ArraySlice<UInt16> = [],
        each: (UnsafeRawBufferPointer) -> Void
    ) throws(NetfilterError) {
        var request = MessageBuffer()
        let sequence = socket.nextSequence()
        request.begin(type: UInt16(SOCK_DIAG_BY_FAMILY), flags: flags, sequence: sequence)
        request.append(query)
        if !ports.isEmpty { request.put(UInt32(INET_DIAG_REQ_BYTECODE)) { $0.appendFilter(for: ports) } }
        request.end()
        // A look-up is answered by one socket or ENOENT, a dump by many sockets and DONE.
        _ = try socket.ask(doing, request, sequence: sequence, isSingle: flags == 0) { each($0.payload) }
    }
}

extension MessageBuffer {
    /// Appends a program of inet_diag (net/ipv4/inet_diag.c) that accepts sockets with one of these local ports.
    ///
    /// An operation goes on so many bytes further, `yes` or `no`. The program accepts where it ends, and rejects
    /// beyond.
    fileprivate mutating func appendFilter(for ports: ArraySlice<UInt16>) {
        let size = MemoryLayout<inet_diag_bc_op>.size
        var bytesLeft = (3 * ports.count + 1) * size
        for port in ports {
            append(inet_diag_bc_op(code: UInt8(INET_DIAG_BC_S_EQ), yes: UInt8(2 * size), no: UInt16(3 * size)))
            append(inet_diag_bc_op(code: 0, yes: 0, no: port))
            bytesLeft -= 2 * size
            appendJump(by: bytesLeft)
            bytesLeft -= size
        }
        appendJump(by: bytesLeft + size)
    }

    /// INET_DIAG_BC_JMP always takes `no`; the kernel checks `yes` all the same.
    private mutating func appendJump(by bytes: Int) {
        let size = MemoryLayout<inet_diag_bc_op>.size
        append(inet_diag_bc_op(code: UInt8(INET_DIAG_BC_JMP), yes: UInt8(size), no: UInt16(bytes)))
    }
}
