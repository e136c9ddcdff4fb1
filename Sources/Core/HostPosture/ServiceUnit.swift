/// What of rpcbind's service unit counts here: its file, then its drop-ins.
public struct ServiceUnit: Hashable, Sendable {
    /// systemd.exec(5): a network namespace of its own, with nothing but loopback in it.
    public private(set) var hasPrivateNetwork = false

    /// - Parameter texts: the unit's file first, the drop-ins in the order of their names.
    public init(_ texts: [String]) {
        for text in texts {
            for line in text.split(separator: "\n") {
                let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2, parts[0].trimmed == "PrivateNetwork",
                    let isOn = Self.boolean(parts[1].trimmed)
                else { continue }
                hasPrivateNetwork = isOn
            }
        }
    }

    /// systemd.syntax(7); what is none is passed over.
    private static func boolean(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "1", "yes", "y", "true", "t", "on": true
        case "0", "no", "n", "false", "f", "off": false
        default: nil
        }
    }
}
