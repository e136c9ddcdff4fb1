import Addresses

/// An address and port in rpcbind's notation.
public struct UniversalAddress: Hashable, Sendable, CustomStringConvertible {
    public var host: IPAddress
    public var port: UInt16

    public init(host: IPAddress, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Parses a universal address such as `192.0.2.7.8.1`.
    ///
    /// Shape: IPv4 `h1.h2.h3.h4.p1.p2`, IPv6 `address.p1.p2`; port = p1 * 256 + p2. `nil` for anything else.
    /// - SeeAlso: RFC 5665, section 5.2.3.3.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        let dot = UInt8(ascii: ".")
        guard let lowDot = bytes.lastIndex(of: dot), let highDot = bytes[..<lowDot].lastIndex(of: dot),
            let low = IPAddress.decimal(bytes[(lowDot + 1)...], max: 255),
            let high = IPAddress.decimal(bytes[(highDot + 1)..<lowDot], max: 255),
            let host = IPAddress(String(decoding: bytes[..<highDot], as: UTF8.self))
        else { return nil }
        self.host = host
        port = UInt16(high << 8 | low)
    }

    /// The same port with an address of the netid's family: some stacks register `tcp` at `::`, which listens for
    /// IPv4, too.
    ///
    /// For a host of the other family, only the port is kept, and whether the host is loopback.
    public func fitted(to netID: NetID) -> UniversalAddress {
        guard host.isIPv4 != netID.isIPv4 else { return self }
        let fitted: IPAddress =
            if host.isLoopback {
                netID.isIPv4 ? .v4(0x7f00_0001) : .v6(1)
            } else {
                netID.isIPv4 ? .v4(0) : .v6(0)
            }
        return UniversalAddress(host: fitted, port: port)
    }

    public var description: String { "\(host).\(port >> 8).\(port & 255)" }
}
