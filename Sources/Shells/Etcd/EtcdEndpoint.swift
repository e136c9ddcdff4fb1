/// A member of the cluster: `https://etcd1:2379`.
public struct EtcdEndpoint: Hashable, Sendable, CustomStringConvertible {
    public var isSecure: Bool
    /// A name, or a numeric address without brackets.
    public var host: String
    public var port: UInt16

    public init(isSecure: Bool = true, host: String, port: UInt16) {
        self.isSecure = isSecure
        self.host = host
        self.port = port
    }

    /// Parses a URL of scheme, host and port; a path isn't permitted, but a slash at the end.
    public init?(_ url: String) {
        let isSecure = url.hasPrefix("https://")
        guard isSecure || url.hasPrefix("http://") else { return nil }
        var rest = url.dropFirst(isSecure ? 8 : 7)
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        guard let colon = rest.lastIndex(of: ":"), let port = UInt16(rest[rest.index(after: colon)...]), port > 0,
            let host = Self.host(rest[..<colon])
        else { return nil }
        self.init(isSecure: isSecure, host: host, port: port)
    }

    private static func host(_ text: Substring) -> String? {
        let isBracketed = text.hasPrefix("[") && text.hasSuffix("]")
        let host = isBracketed ? text.dropFirst().dropLast() : text
        let isPlain = host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                true
            case UInt8(ascii: ":"), UInt8(ascii: "%"): isBracketed
            default: false
            }
        }
        return isPlain && !host.isEmpty ? String(host) : nil
    }

    /// Host and port, as the Host field carries them (RFC 9110, 7.2).
    var authority: String { (host.contains(":") ? "[\(host)]" : host) + ":\(port)" }

    public var description: String { "\(isSecure ? "https" : "http")://\(authority)" }
}
