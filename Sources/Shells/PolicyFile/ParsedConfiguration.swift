import Addresses
import Configuration
import Policy

/// The content of rpcwarden.yaml.
public struct ParsedConfiguration: Sendable {
    /// Missing and invalid values are replaced by the defaults.
    public private(set) var settings = Settings()
    public private(set) var diagnostics: [Diagnostic] = []
    /// Location of the `policy` key's value; without the key, the beginning of the file.
    public private(set) var policyLocation: Location

    /// Where `fleet.policy`, or a key of it, is; by the key.
    private(set) var bundleLocations: [String: Location] = [:]
    /// Where each server of the gateway is named.
    public private(set) var serverLocations: [String: Location] = [:]

    /// - Parameter ownAddresses: this host's addresses, which no server may have; empty if they are unknown.
    public init(_ source: SourceFile, ownAddresses: Set<IPAddress> = []) {
        policyLocation = Location(file: source.path, line: 1, column: 1)
        var findings = Findings()
        if let root = YAMLDocument.root(of: source, &findings) {
            [Field<Settings>].configuration.read(
                root, "the configuration", into: &settings, &findings,
                elsewhere: (
                    ParsedPolicy.keys, "is a key of a policy, not of the configuration; move it to a policy file"
                ))
            settings.findContradictions(in: root, &findings)
            settings.gateway?.findOwnAddresses(ownAddresses, in: root, &findings)
            policyLocation = root.value(at: "policy")?.location ?? policyLocation
            if let bundle = root.value(at: "fleet", "policy"), case .mapping(let entries) = bundle.content {
                bundleLocations = Dictionary(entries.map { ($0.key, $0.value.location) }) { first, _ in first }
            }
            for server in root.value(at: "gateway", "servers")?.items ?? [] {
                guard let node = server.value(at: "name"), case .scalar(let name) = node.content else { continue }
                serverLocations[name.text] = node.location
            }
        }
        diagnostics = findings.diagnostics.inReadingOrder(of: [source.path])
    }

    static var keys: [String] { [Field<Settings>].configuration.map(\.key) }
}
