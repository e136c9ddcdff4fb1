import Addresses
import CPortmapServer
import Configuration
import Glibc
import System

/// A socket that receives calls: bound by the daemon, or passed by systemd.
public struct ListeningSocket: Hashable, Sendable {
    public var descriptor: Int32
    public var transport: Transport
    public var address: IPAddress
    public var port: UInt16

    public var description: String { "\(transport)/\(address.isIPv4 ? "\(address)" : "[\(address)]"):\(port)" }
}

/// A socket that can't be used; `code` is an errno.
public struct SocketError: Error, Hashable, Sendable, CustomStringConvertible {
    public var operation: String
    public var code: Int32

    public var description: String { "\(operation): \(Errno(code))" }
}

extension ListeningSocket {
    /// Binds UDP and TCP at the address; IPv6 sockets receive only IPv6.
    public static func bind(_ address: IPAddress, port: UInt16) throws(SocketError) -> [ListeningSocket] {
        var sockets: [ListeningSocket] = []
        for transport in [Transport.udp, .tcp] {
            var at = rpcw_address(address, port: port)
            let descriptor = rpcw_bound_socket(&at, transport == .tcp)
            guard descriptor >= 0 else {
                for socket in sockets { close(socket.descriptor) }
                let place = ListeningSocket(descriptor: -1, transport: transport, address: address, port: port)
                throw SocketError(operation: "can't listen at \(place.description)", code: -descriptor)
            }
            sockets.append(
                ListeningSocket(descriptor: descriptor, transport: transport, address: address, port: port))
        }
        return sockets
    }

    /// Binds UDP and TCP at each address. An address of a family that the kernel lacks is left out and reported,
    /// unless no other is left.
    public static func bind(
        _ endpoints: [Settings.Endpoint], leavingOut tell: (SocketError) -> Void,
        by bind: (IPAddress, UInt16) throws(SocketError) -> [ListeningSocket] = { (address, port) throws(SocketError) in
            try ListeningSocket.bind(address, port: port)
        }
    ) throws(SocketError) -> [ListeningSocket] {
        var sockets: [ListeningSocket] = []
        var missing: [SocketError] = []
        for endpoint in endpoints {
            do {
                sockets += try bind(endpoint.address, endpoint.port)
            } catch {
                guard lacksFamily(endpoint.address, error.code) else {
                    for socket in sockets { close(socket.descriptor) }
                    throw error
                }
                missing.append(error)
            }
        }
        if sockets.isEmpty, let error = missing.first { throw error }
        missing.forEach(tell)
        return sockets
    }

    /// The kernel may lack IPv6, or have it switched off: then `[::]` can't be bound.
    private static func lacksFamily(_ address: IPAddress, _ code: Int32) -> Bool {
        code == EAFNOSUPPORT || code == EADDRNOTAVAIL && address == .v6(0)
    }

    /// The sockets that systemd passed (sd_listen_fds(3)); empty if it passed none to this process.
    public static func passed() throws(SocketError) -> [ListeningSocket] {
        let number = { (name: String) in getenv(name).flatMap { Int32(String(cString: $0)) } }
        defer { for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) } }
        guard number("LISTEN_PID") == getpid(), let count = number("LISTEN_FDS"), count > 0 else { return [] }
        var sockets: [ListeningSocket] = []
        for descriptor in 3..<3 + count { sockets.append(try adopt(descriptor)) }
        return sockets
    }

    private static func adopt(_ descriptor: Int32) throws(SocketError) -> ListeningSocket {
        var isStream = false
        var at = rpcw_address()
        var code = rpcw_adopt_socket(descriptor)
        if code == 0 { code = rpcw_describe_socket(descriptor, &isStream, &at) }
        guard code == 0 else {
            throw SocketError(
                operation: "descriptor \(descriptor), passed by LISTEN_FDS, is no socket for us", code: code)
        }
        return ListeningSocket(
            descriptor: descriptor, transport: isStream ? .tcp : .udp, address: at.ipAddress, port: at.port)
    }
}

extension rpcw_address {
    init(_ address: IPAddress, port: UInt16) {
        self.init()
        self.port = port
        is_ipv6 = !address.isIPv4
        withUnsafeMutableBytes(of: &bytes) { raw in
            switch address {
            case .v4(let bits): raw.storeBytes(of: bits.bigEndian, as: UInt32.self)
            case .v6(let bits): withUnsafeBytes(of: bits.value.bigEndian) { raw.copyMemory(from: $0) }
            }
        }
    }

    var ipAddress: IPAddress {
        withUnsafeBytes(of: bytes) { raw in
            is_ipv6
                ? IPAddress(v6Bits: UInt128(bigEndian: raw.loadUnaligned(as: UInt128.self)))
                : .v4(UInt32(bigEndian: raw.loadUnaligned(as: UInt32.self)))
        }
    }
}
