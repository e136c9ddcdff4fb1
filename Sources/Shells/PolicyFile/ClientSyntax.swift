import Addresses
import Policy

extension Syntax where Value == ClientTerm {
    /// An address, a prefix or a host name: a client term that is no group name.
    static func client(groups: [String]) -> Self {
        Self { text throws(Mistake) in
            if let prefix = plainIPv4(text) { return .prefix(prefix) }
            if looksNumeric(text) { return .prefix(try Syntax<Prefix>.prefix.parse(text)) }
            if let refusal = refusal(of: text) { throw refusal }
            guard text.contains(".") else {
                throw Mistake("unknown group of clients \(quoted(text))") {
                    Suggestion.forWord(text, among: groups)
                        ?? "name a group, an address, a prefix, or a host with its domain"
                }
            }
            guard let host = hostName(text) else {
                throw Mistake("\(quoted(text)) is not a host name", hint: "use letters, digits, -, _ and single dots")
            }
            return .host(host)
        }
    }

    /// A fast path for the form of nearly all terms: `nil` leaves the term to the parsers that report mistakes.
    private static func plainIPv4(_ text: String) -> Prefix? {
        guard let first = text.utf8.first, isDigit(first) else { return nil }
        let slash = text.utf8.firstIndex(of: UInt8(ascii: "/"))
        guard let address = IPAddress(text[..<(slash ?? text.endIndex)]), address.isIPv4 else { return nil }
        guard let slash else { return address.isUnspecified ? nil : Prefix(address) }
        guard let length = Syntax<Prefix>.prefixLength(text[text.utf8.index(after: slash)...]),
            let prefix = Prefix(address, length: length), prefix.address == address
        else { return nil }
        return prefix
    }

    /// Whether the text can only be an address or a prefix: a host name's last label is never a number (RFC 3696, 2).
    private static func looksNumeric(_ text: String) -> Bool {
        if text.contains(":") || IPAddress(text) != nil { return true }
        var address = text.prefix { $0 != "/" }
        if address.hasSuffix(".") { address.removeLast() }
        let label = address.split(separator: ".", omittingEmptySubsequences: false).last ?? ""
        return !label.isEmpty && label.utf8.allSatisfy(isDigit) && (address.contains(".") || text.contains("/"))
    }

    private static func refusal(of text: String) -> Mistake? {
        switch text.first {
        case "*" where text.utf8.count == 1:
            return Mistake("\"*\" is not a client", hint: "write 0.0.0.0/0 and \"::/0\" for everyone")
        case "*": return Mistake("\(quoted(text)) is a wildcard", hint: "write the prefix of these clients")
        case "@": return Mistake("\(quoted(text)) is a netgroup", hint: "write the prefixes of its members")
        default: return nil
        }
    }

    /// A host name by RFC 1123, 2.1, or with underscores, as some sites use; in lower case, without the final dot.
    private static func hostName(_ text: String) -> String? {
        let name = (text.hasSuffix(".") ? text.dropLast() : text[...]).lowercased()
        let isPart = { (byte: UInt8) in isLetterOrDigit(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
        }
        let isLabel = { (label: Substring) in
            (1...63).contains(label.utf8.count) && label.utf8.allSatisfy(isPart) && label.first != "-"
                && label.last != "-"
        }
        guard name.utf8.count <= 253, name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy(isLabel)
        else { return nil }
        return name
    }
}
