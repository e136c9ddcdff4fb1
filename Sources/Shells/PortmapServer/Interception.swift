import Addresses
import CPortmapServer
import Glibc
import System

/// Why the sockets can't receive the calls to the servers behind this gateway; each with its remedy.
public enum InterceptionFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// No socket listens there.
    case noListener(Transport, IPAddress, arePassed: Bool)
    case notTransparent(ListeningSocket, code: Int32, arePassed: Bool)

    public var description: String {
        switch self {
        case .noListener(let transport, let address, let arePassed):
            let place = ListeningSocket(descriptor: -1, transport: transport, address: address, port: Interception.port)
            return "gateway: nothing listens at \(place.description), where calls to servers are received; "
                + (arePassed
                    ? "add Listen\(transport == .tcp ? "Stream" : "Datagram")= of that address to rpcwarden.socket"
                    : "add \"\(address.isIPv4 ? "\(address)" : "[\(address)]"):\(Interception.port)\" to listen")
        case .notTransparent(let socket, let code, let arePassed):
            return "gateway: \(socket.description) can't be made transparent, so as to receive calls to servers: "
                + "\(Errno(code)); "
                + (arePassed
                    ? "set Transparent=yes in rpcwarden.socket"
                    : "start rpcwarden with CAP_NET_ADMIN, or take sockets from rpcwarden.socket with Transparent=yes")
        }
    }
}

/// What the listeners need to receive the calls to the servers behind this gateway.
///
/// `tproxy` delivers a packet to a socket that is bound to the packet's destination, or to no address; and to
/// transparent sockets alone. Such a socket may also answer from the destination.
public enum Interception {
    static let port: UInt16 = 111

    /// Makes the sockets transparent, which needs CAP_NET_ADMIN or CAP_NET_RAW unless they are.
    ///
    /// - Parameters:
    ///   - servers: the addresses by which clients know the servers.
    ///   - arePassed: whether systemd made the sockets.
    public static func prepare(
        _ sockets: [ListeningSocket], for servers: some Sequence<IPAddress>, arePassed: Bool
    ) throws(InterceptionFault) {
        // A kernel without IPv6 forwards none of its packets, and has no socket for it.
        let reachable = hasIPv6 ? Array(servers) : servers.filter(\.isIPv4)
        if let missing = missingListener(among: sockets, for: reachable) {
            throw .noListener(missing.transport, missing.address, arePassed: arePassed)
        }
        for socket in sockets where socket.isForServers {
            let code = rpcw_make_transparent(socket.descriptor, !socket.address.isIPv4)
            guard code == 0 else { throw .notTransparent(socket, code: code, arePassed: arePassed) }
        }
    }

    private static var hasIPv6: Bool {
        let descriptor = socket(AF_INET6, Int32(SOCK_DGRAM.rawValue), 0)
        guard descriptor >= 0 else { return errno != EAFNOSUPPORT }
        close(descriptor)
        return true
    }

    /// Where a socket must listen, and none does.
    static func missingListener(
        among sockets: [ListeningSocket], for servers: some Sequence<IPAddress>
    ) -> (transport: Transport, address: IPAddress)? {
        for address in Set(servers.map(\.wildcard)).sorted() {
            for transport in [Transport.udp, .tcp] {
                let isThere = sockets.contains { $0.isForServers && $0.transport == transport && $0.address == address }
                guard isThere else { return (transport, address) }
            }
        }
        return nil
    }
}

extension ListeningSocket {
    fileprivate var isForServers: Bool { port == Interception.port && address == address.wildcard }
}

extension IPAddress {
    /// The address of no host, of the same family.
    fileprivate var wildcard: IPAddress { isIPv4 ? .v4(0) : .v6(0) }
}
