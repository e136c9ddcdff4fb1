import Addresses
import Configuration

extension Syntax where Value == IPAddress {
    /// A numeric address. An IPv4-mapped address is refused, since it would never match.
    static var address: Self {
        Self { text throws(Mistake) in
            if let zone = text.firstIndex(of: "%"), IPAddress(text[..<zone]) != nil {
                throw Mistake("\(quoted(text)) has a zone", hint: "write \(text[..<zone])")
            }
            guard let address = IPAddress(text) else {
                throw Mistake("\(quoted(text)) is not an address", hint: "write an IPv4 or IPv6 address")
            }
            if address.isIPv4, text.contains(":") {
                throw Mistake("\(quoted(text)) is an IPv4-mapped address", hint: "write \(address)")
            }
            return address
        }
    }
}

extension Syntax where Value == IPAddress {
    /// The address of one host.
    static var serverAddress: Self {
        Self { text throws(Mistake) in
            guard text.contains(":") || text.utf8.allSatisfy({ isDigit($0) || $0 == UInt8(ascii: ".") }) else {
                throw Mistake(
                    "\(quoted(text)) is not an address", hint: "write the addresses; names are not resolved here")
            }
            let address = try Self.address.parse(text)
            guard !address.isUnspecified, !address.isLoopback, !address.isMulticastOrBroadcast else {
                throw Mistake("\(address) is not an address of another host", hint: "name the server's own address")
            }
            guard !address.isLinkLocal else {
                throw Mistake(
                    "\(address) is a link-local address, to which nothing is forwarded",
                    hint: "write the server's others")
            }
            return address
        }
    }
}

extension Syntax where Value == Settings.Endpoint {
    /// `0.0.0.0:111` or `[::]:111`.
    static var endpoint: Self {
        Self { text throws(Mistake) in
            guard let colon = text.lastIndex(of: ":") else {
                throw Mistake(
                    "\(quoted(text)) has no port", hint: "write the port after a colon, such as 127.0.0.1:9811")
            }
            let host = text[..<colon]
            let isBracketed = host.hasPrefix("[") && host.hasSuffix("]") && host.count > 2
            if !isBracketed, IPAddress(text)?.isIPv4 == false || host.contains(":") {
                throw Mistake("\(quoted(text)) is not an address with a port", hint: "write IPv6 as \"[::1]:9811\"")
            }
            if host == "*" { throw Mistake("\"*\" is not an address", hint: "write 0.0.0.0, and [::] for IPv6") }
            let address = try Syntax<IPAddress>.address.parse(String(isBracketed ? host.dropFirst().dropLast() : host))
            if isBracketed, address.isIPv4 {
                throw Mistake("only IPv6 is written in brackets", hint: "write \(address)")
            }
            let port = try Syntax<UInt16>.port.parse(String(text[text.index(after: colon)...]))
            return Settings.Endpoint(address, port)
        }
    }
}

extension Syntax where Value == Prefix {
    /// An address, or a prefix with zero bits beyond its length.
    static var prefix: Self {
        Self { text throws(Mistake) in
            let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { return Prefix(try oneAddress(text)) }
            if let address = IPAddress(parts[0]), address.isIPv4, parts[0].contains(":") {
                throw Mistake("\(quoted(text)) is an IPv4-mapped prefix", hint: "write it as IPv4")
            }
            let address = try Syntax<IPAddress>.address.parse(String(parts[0]))
            let lengthMax = address.isIPv4 ? 32 : 128
            guard let length = prefixLength(parts[1]), let prefix = Prefix(address, length: length) else {
                throw Mistake(
                    "\(quoted(text)) has no prefix length of 0 to \(lengthMax)",
                    hint: netmaskLength(parts[1]).flatMap { Prefix(address, length: $0) }.map { "write \($0)" }
                        ?? "write a number after the slash, as in \(address)/\(lengthMax)")
            }
            guard prefix.address == address else {
                throw Mistake("\(quoted(text)) has bits set beyond its length", hint: "write \(prefix)")
            }
            return prefix
        }
    }

    private static func oneAddress(_ text: String) throws(Mistake) -> IPAddress {
        let address = try Syntax<IPAddress>.address.parse(text)
        guard !address.isUnspecified else {
            throw Mistake("\(address) is not a client's address", hint: "write \(address)/0 for everyone")
        }
        return address
    }

    static func prefixLength(_ text: Substring) -> Int? {
        guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy(isDigit), text == "0" || !text.hasPrefix("0")
        else { return nil }
        return Int(text)
    }

    /// The prefix length of a netmask such as `255.255.0.0`.
    private static func netmaskLength(_ text: Substring) -> Int? {
        guard let mask = IPAddress(text), mask.isIPv4 else { return nil }
        return (0...32).first { Prefix(.v4(.max), length: $0)?.address == mask }
    }
}
