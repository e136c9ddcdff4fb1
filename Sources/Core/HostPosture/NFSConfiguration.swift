/// The NFS versions that nfsd serves, according to nfs.conf(5).
public struct NFSConfiguration: Hashable, Sendable {
    /// `nil`: the configuration does not specify it.
    public private(set) var servesVersion3: Bool?

    /// - Parameter texts: nfs.conf, then the files of nfs.conf.d in the order of their names.
    public init(_ texts: [String] = []) {
        for text in texts { read(text) }
    }

    private mutating func read(_ text: String) {
        for entry in Self.entries(text) where entry.section == "nfsd" && entry.key == "vers3" {
            servesVersion3 = ["y", "yes", "t", "true", "1", "on"].contains(entry.value)
        }
    }

    /// The lines `key=value` of a file, in small letters, with their sections.
    static func entries(_ text: String) -> [(section: String, key: String, value: String)] {
        var section = ""
        return text.split(separator: "\n").map(\.trimmed).compactMap { line in
            if line.hasPrefix("[") {
                section = line.dropFirst().prefix { $0 != "]" }.trimmed.lowercased()
                return nil
            }
            let parts = line.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { return nil }
            let value = parts[1].prefix { $0 != "#" }.trimmed.lowercased()
            return (section, parts[0].trimmed.lowercased(), value)
        }
    }
}
