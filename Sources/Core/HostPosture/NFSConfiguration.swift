/// The NFS versions that nfsd serves, according to nfs.conf(5).
public struct NFSConfiguration: Hashable, Sendable {
    /// `nil`: the configuration does not specify it.
    public private(set) var servesVersion3: Bool?

    /// - Parameter texts: nfs.conf, then the files of nfs.conf.d in the order of their names.
    public init(_ texts: [String] = []) {
        for text in texts { read(text) }
    }

    private mutating func read(_ text: String) {
        var section = ""
        for line in text.split(separator: "\n").map(\.trimmed) {
            if line.hasPrefix("[") {
                section = line.dropFirst().prefix { $0 != "]" }.trimmed.lowercased()
                continue
            }
            let parts = line.split(separator: "=", maxSplits: 1)
            guard section == "nfsd", parts.count == 2, parts[0].trimmed.lowercased() == "vers3" else { continue }
            let value = parts[1].prefix { $0 != "#" }.trimmed.lowercased()
            servesVersion3 = ["y", "yes", "t", "true", "1", "on"].contains(value)
        }
    }
}
