/// The relevant settings of rpcbind's service unit, from its file and its drop-ins.
public struct ServiceUnit: Hashable, Sendable {
    /// `PrivateNetwork=` of systemd.exec(5): a network namespace of its own, with only the loopback interface.
    public private(set) var hasPrivateNetwork = false

    /// - Parameter texts: the unit's file first, then the drop-ins in the order of their names.
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

    /// Parses a boolean of systemd.syntax(7); `nil` for any other text.
    static func boolean(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "1", "yes", "y", "true", "t", "on": true
        case "0", "no", "n", "false", "f", "off": false
        default: nil
        }
    }
}
