import CNetfilter

/// Why a request to the kernel failed.
public enum NetfilterError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A call failed, or the kernel refused a request; `detail` is the text of errno and the kernel's own text, if any.
    case failed(doing: String, errno: Int32, detail: String)
    /// A table with rpcwarden's name exists that rpcwarden didn't make: the sets in `missing` are absent, or of
    /// another kind.
    case foreign(table: String, missing: [String])
    /// The table kept changing while it was read.
    case unsettled(table: String)

    public var description: String {
        switch self {
        case .failed(let doing, _, let detail): "\(doing): \(detail)"
        case .foreign(let table, let missing):
            "table inet \(table) isn't rpcwarden's: it has no set \(missing.joined(separator: ", "))"
                + " of our kind; set firewall.table to another name, or delete that table:"
                + " nft delete table inet \(table)"
        case .unsettled(let table): "table inet \(table) changed each time it was read"
        }
    }
}

/// `errno`'s text, followed by the kernel's own text about the error.
func errorText(_ number: Int32, _ extended: String? = nil) -> String {
    let text = cnf_errno_text(number).map { String(cString: $0) } ?? "error \(number)"
    guard let extended, !extended.isEmpty else { return text }
    return "\(text): \(extended)"
}
