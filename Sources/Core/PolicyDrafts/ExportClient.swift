import Addresses

/// The clients that an entry of exports(5) names (exports(5), Machine Name Formats).
public enum ExportClient: Hashable, Sendable {
    public enum World: Hashable, Sendable {
        /// `*`.
        case written
        /// No name at all: often a space that should not be there, as in `host (rw)`.
        case implied
    }

    case network(Prefix)
    case host(String)
    case everyone(World)
    /// A client on this host needs no rule.
    case thisHost
    /// The reason why no policy can express the client, and the remedy.
    case inexpressible(String)

    /// The client, and a note for people about the reading of its name.
    static func read(_ name: ArraySlice<UInt8>) -> (client: Self, note: String?) {
        let text = String(decoding: name, as: UTF8.self)
        if text == "*" { return (.everyone(.written), nil) }
        guard name.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            return (.inexpressible("its name contains a blank, a control character or a non-ASCII character"), nil)
        }
        if name.isEmpty { return (.everyone(.implied), nil) }
        if let bare = withoutBrackets(text), let client = numeric(bare) {
            return (client, bracketsNote(bare, client))
        }
        let client = special(text) ?? numeric(text) ?? named(text)
        return (client, hostBitsNote(text, client))
    }

    /// `[fd00::]/64` as `fd00::/64`; `nil` for anything but an IPv6 address in brackets.
    private static func withoutBrackets(_ text: String) -> String? {
        guard text.first == "[", let end = text.firstIndex(of: "]") else { return nil }
        let inner = text[text.index(after: text.startIndex)..<end]
        let rest = text[text.index(after: end)...]
        guard inner.contains(":"), !inner.contains("["), rest.isEmpty || rest.first == "/" else { return nil }
        return String(inner) + rest
    }

    private static func bracketsNote(_ bare: String, _ client: Self) -> String? {
        if case .inexpressible = client { return nil }
        return
            "nfs-utils reads brackets as a wildcard, which matches no client; read as \(bare): write it without brackets"
    }

    private static func hostBitsNote(_ text: String, _ client: Self) -> String? {
        guard case .network(let prefix) = client, let slash = text.firstIndex(of: "/"),
            IPAddress(text[..<slash]) != prefix.address
        else { return nil }
        return
            "read as all of \(prefix), since nfs-utils ignores the bits beyond the mask; write \(text[..<slash]) for one host"
    }

    private static func special(_ text: String) -> Self? {
        if text.hasPrefix("@") {
            return .inexpressible("a netgroup; write its members (getent netgroup) as addresses or host names")
        }
        if text.hasPrefix("gss/") {
            return .inexpressible(
                "every client with a Kerberos ticket, at any address; write the prefixes of these clients")
        }
        if text.hasPrefix("/") {
            return .inexpressible("a second path: a line of exports(5) has one path, followed by its clients")
        }
        if text.contains(where: { "*?[]".contains($0) }) {
            return .inexpressible(
                "a wildcard, which is compared with reverse DNS names; write \(prefix(of: text) ?? "the prefixes of these clients")"
            )
        }
        if text.contains(",") {
            return .inexpressible("not a client: blanks separate clients, and commas separate only options")
        }
        return nil
    }

    /// `192.168.1.*` as the prefix that is meant; nfs-utils compares the pattern with names.
    private static func prefix(of text: String) -> String? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let octets = parts.prefix { $0 != "*" }
        guard parts.count == 4, !octets.isEmpty, parts.dropFirst(octets.count).allSatisfy({ $0 == "*" }) else {
            return nil
        }
        let address = octets.joined(separator: ".") + String(repeating: ".0", count: 4 - octets.count)
        return IPAddress(address).map { "\($0)/\(octets.count * 8) if these addresses are meant" }
    }

    /// An address, or a network with a length or a netmask; nfs-utils ignores the bits beyond the mask.
    private static func numeric(_ text: String) -> Self? {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else {
            if let zone = parts[0].firstIndex(of: "%"), IPAddress(parts[0][..<zone]) != nil {
                return .inexpressible(
                    "an address with a zone; write \(parts[0][..<zone])")
            }
            return parts.count == 2 || text.contains(":") ? .inexpressible("not a valid address") : nil
        }
        guard !(address.isIPv4 && parts[0].contains(":")) else {
            return .inexpressible("an IPv4-mapped address; write it as IPv4")
        }
        guard parts.count == 2 else { return single(address) }
        guard let length = length(of: parts[1], ofIPv4: address.isIPv4), let prefix = Prefix(address, length: length)
        else { return .inexpressible("its mask is neither a prefix length nor a contiguous netmask") }
        guard length > 0 || address.isUnspecified else {
            return .inexpressible("an address with a mask that matches every address; write the prefix that is meant")
        }
        return .network(prefix)
    }

    private static func single(_ address: IPAddress) -> Self {
        if address.isLoopback { return .thisHost }
        guard !address.isUnspecified else { return .inexpressible("the unspecified address, which no client has") }
        return .network(Prefix(address))
    }

    private static func length(of mask: Substring, ofIPv4 isIPv4: Bool) -> Int? {
        if let netmask = IPAddress(mask) {
            guard isIPv4, netmask.isIPv4, !mask.contains(":") else { return nil }
            return (0...32).first { Prefix(.v4(.max), length: $0)?.address == netmask }
        }
        let isNumber = (1...3).contains(mask.utf8.count) && mask.utf8.allSatisfy { (0x30...0x39).contains($0) }
        return isNumber ? Int(mask) : nil
    }

    private static func named(_ text: String) -> Self {
        let name = (text.hasSuffix(".") ? text.dropLast() : text[...]).lowercased()
        if name == "localhost" { return .thisHost }
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        guard name.utf8.count <= 253, labels.allSatisfy(isLabel) else { return .inexpressible("not a valid host name") }
        guard labels.count > 1 else {
            return .inexpressible("a name without its domain; write the full name or the address (getent hosts)")
        }
        // RFC 3696, 2: a last label of digits belongs to an address, which the C library may read in another way.
        guard let last = labels.last, !last.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return .inexpressible("not a valid address")
        }
        return .host(name)
    }

    /// A label by RFC 1123, 2.1, or with the underscores that some sites have.
    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
            && label.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) || byte == UInt8(ascii: "-")
                    || byte == UInt8(ascii: "_")
            }
    }
}
