/// What the sidecar's own commands ask by its control socket: `{"is":"grants"}`. The answer is an object of JSON a line.
public enum SidecarQuestion: String, Hashable, Sendable {
    /// One line.
    case status
    /// Lists: a line for each, and ``end``.
    case nodes, grants, quarantines

    public var line: [UInt8] {
        var writer = JSONWriter()
        writer.text("is", rawValue)
        return writer.bytes
    }

    /// The line behind a list; without it, the list was cut.
    public static let end = Array("{}\n".utf8)
    public static let lineBytesMax = 4096
}
