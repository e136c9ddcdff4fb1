/// The bytes of a YAML file, and its name and path.
public struct SourceFile: Hashable, Sendable {
    /// Ten thousand prefixes take a tenth of this; libyaml needs about ten times the size while it reads.
    public static let bytesMax = 4 << 20

    /// The name in rules' labels: `policy.d/nfs.yaml`.
    public var name: String
    /// The path in diagnostics, so that an editor can open it: `/etc/rpcwarden/policy.d/nfs.yaml`.
    public var path: String
    public var bytes: [UInt8]

    public init(name: String, path: String? = nil, bytes: [UInt8]) {
        self.name = name
        self.path = path ?? name
        self.bytes = bytes
    }

    public init(name: String, text: String) {
        self.init(name: name, bytes: Array(text.utf8))
    }
}
