import Addresses

/// A TCP socket that listens, or a UDP socket that is bound and not connected.
public struct BoundSocket: Hashable, Sendable {
    public var service: ServicePort
    public var address: IPAddress
    public var inode: UInt64
    /// Names of the processes that hold the socket, among the process names that were searched for.
    public var holders: Set<String> = []

    public init(_ service: ServicePort, at address: IPAddress, inode: UInt64 = 0, holders: Set<String> = []) {
        self.service = service
        self.address = address
        self.inode = inode
        self.holders = holders
    }

    public var isReachable: Bool { !address.isLoopback }

    public var text: String {
        let host = address.isIPv4 ? "\(address)" : "[\(address)]"
        return "\(service.transport) \(host):\(service.port)"
    }

    /// Reads the format of `/proc/net/tcp`, `udp`, `tcp6` and `udp6` (proc_net_tcp.txt of the kernel).
    public static func sockets(procNet text: String, _ transport: Transport) -> [Self] {
        // The state of a listening TCP socket is TCP_LISTEN; of a bound, unconnected UDP socket it is TCP_CLOSE.
        let state = transport == .tcp ? "0A" : "07"
        return text.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count > 9, fields[3] == state else { return nil }
            let local = fields[1].split(separator: ":")
            guard local.count == 2, let port = UInt16(local[1], radix: 16), let address = address(local[0]),
                let inode = UInt64(fields[9])
            else { return nil }
            return Self(ServicePort(transport, port), at: address, inode: inode)
        }
    }

    /// Parses words of eight hexadecimal digits, each a `__be32` printed as an integer in host byte order.
    private static func address(_ digits: Substring) -> IPAddress? {
        guard digits.utf8.count == 8 || digits.utf8.count == 32 else { return nil }
        var bytes: [UInt8] = []
        var rest = digits
        while !rest.isEmpty {
            guard let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
            bytes += withUnsafeBytes(of: word) { Array($0) }
            rest = rest.dropFirst(8)
        }
        return IPAddress(networkBytes: bytes)
    }
}
