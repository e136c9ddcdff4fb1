import Addresses
import CNetfilter
import Glibc
import Portmapper

/// Finds the owner of the socket on this host that sent a message, with sock_diag.
///
/// Works in the network namespace of the thread that called `init`.
public final class SocketOwners {
    private let diagnosis: SocketDiagnosis

    public init() throws(NetfilterError) {
        diagnosis = try SocketDiagnosis()
    }

    /// A socket that the kernel reported. After its user closed it, it has no inode and shows uid 0.
    private struct Found {
        var message: inet_diag_msg
        var source: UniversalAddress
        var destination: UniversalAddress

        init?(_ payload: UnsafeRawBufferPointer) {
            guard payload.count >= MemoryLayout<inet_diag_msg>.size else { return nil }
            message = payload.loadUnaligned(as: inet_diag_msg.self)
            let count = message.idiag_family == UInt8(AF_INET6) ? 16 : 4
            let (from, to) = (
                withUnsafeBytes(of: message.id.idiag_src) { Array($0.prefix(count)) },
                withUnsafeBytes(of: message.id.idiag_dst) { Array($0.prefix(count)) }
            )
            guard let source = IPAddress(networkBytes: from), let destination = IPAddress(networkBytes: to) else {
                return nil
            }
            self.source = UniversalAddress(host: source, port: UInt16(bigEndian: message.id.idiag_sport))
            self.destination = UniversalAddress(host: destination, port: UInt16(bigEndian: message.id.idiag_dport))
        }

        /// `nil`: no process holds the socket any more.
        var owner: UInt32? { message.idiag_inode == 0 ? nil : message.idiag_uid }
    }

    private static let root: UInt32 = 0
    /// Only root binds the ports below (net.ipv4.ip_unprivileged_port_start, if it wasn't changed).
    private static let unprivilegedPorts: UInt16 = 1024
    /// LOOPBACK_IFINDEX of net/flow.h: a socket bound to another interface can't have sent the message.
    private static let loopbackInterface: UInt32 = 1
    /// TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_CLOSE_WAIT: a peer may have shut down its sending side.
    private static let openStates: Set<UInt8> = [1, 4, 5, 8]

    /// The user that made the socket that sends from `source` to `destination`.
    ///
    /// TCP: the one socket at the other end of the connection. UDP: any process may share a port (SO_REUSEADDR),
    /// and set any of this host's addresses as the source (IP_PKTINFO); so all sockets at that port must belong to
    /// one user. The sender may have closed its socket already. So at an unprivileged port a socket of root counts
    /// only if it is connected to `destination`: no other user's socket can have shared its port, unless root's
    /// permits that (SO_REUSEADDR).
    /// - Returns: `nil` if there is no such socket, its user has closed it, or there are several users.
    public func owner(
        of transport: Transport, from source: UniversalAddress, to destination: UniversalAddress
    ) throws(NetfilterError) -> UInt32? {
        guard let first = try look(transport, source, destination) else { return nil }
        switch transport {
        case .tcp:
            let isTheirs = first.source == source && first.destination == destination
            return isTheirs && Self.openStates.contains(first.message.idiag_state) ? first.owner : nil
        case .udp:
            guard first.source.port == source.port, let owner = first.owner else { return nil }
            // Only a claim to be root justifies the cost of a dump.
            guard owner == Self.root else { return owner }
            let isConnected = first.source == source && first.destination == destination
            guard isConnected || source.port < Self.unprivilegedPorts else { return nil }
            return try owners(atUDPPort: source.port) == [owner] ? owner : nil
        }
    }

    /// The socket that would receive a packet from `destination` to `source`.
    private func look(
        _ transport: Transport, _ source: UniversalAddress, _ destination: UniversalAddress
    ) throws(NetfilterError) -> Found? {
        // For UDP the kernel reads the request as if it were a packet: its source is the other end.
        let (near, far) = transport == .tcp ? (source, destination) : (destination, source)
        var query = SocketDiagnosis.query(
            transport, source.host.isIPv4 ? AF_INET : AF_INET6, port: near.port, states: .max)
        query.id.idiag_if = Self.loopbackInterface
        query.id.idiag_dport = far.port.bigEndian
        withUnsafeMutableBytes(of: &query.id.idiag_src) { $0.copyBytes(from: near.host.networkBytes) }
        withUnsafeMutableBytes(of: &query.id.idiag_dst) { $0.copyBytes(from: far.host.networkBytes) }
        var found: Found?
        do throws(NetfilterError) {
            try ask(query, flags: 0) { found = $0 }
        } catch {
            guard case .failed(_, ENOENT, _) = error else { throw error }
        }
        return found
    }

    /// The owners of the sockets at a UDP port, connected sockets included; `nil` among them for a socket that no
    /// process holds.
    private func owners(atUDPPort port: UInt16) throws(NetfilterError) -> Set<UInt32?> {
        var owners: Set<UInt32?> = []
        for family in [AF_INET, AF_INET6] {
            let query = SocketDiagnosis.query(.udp, family, port: port, states: .max)
            try ask(query, flags: NetlinkSocket.dump) { found in
                if found.source.port == port { owners.insert(found.owner) }
            }
        }
        return owners
    }

    private func ask(
        _ query: inet_diag_req_v2, flags: Int32, each: (Found) -> Void
    ) throws(NetfilterError) {
        try diagnosis.ask("asking who owns a socket", query, flags: flags) { payload in
            if let found = Found(payload) { each(found) }
        }
    }
}
