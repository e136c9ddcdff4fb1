/// The bytes of a YAML file, and what it is called.
public struct SourceFile: Hashable, Sendable {
    /// Ten thousand prefixes take a tenth of it; libyaml needs about ten times the size while it reads.
    public static let bytesMax = 4 << 20

    /// As rules are labelled: `policy.d/nfs.yaml`.
    public var name: String
    /// As diagnostics name it, so that an editor can open it: `/etc/rpcwarden/policy.d/nfs.yaml`.
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
