import Configuration
import Policy
import System

/// The content of fleet.yaml.
public struct ParsedSidecarConfiguration: Sendable {
    public static let path = "/etc/rpcwarden/fleet.yaml"

    /// Missing and invalid values are replaced by the defaults.
    public private(set) var settings = SidecarSettings()
    public private(set) var diagnostics: [Diagnostic] = []
    /// Where the values of `etcd` are, by their keys; for findings about the files that they name.
    private var places: [String: Location] = [:]
    private let start: Location

    /// Reads the file; one that can't be read is a diagnostic.
    public init(path: String = Self.path) {
        switch FileSystem.answer(for: path) {
        case .file(let bytes): self.init(SourceFile(name: path, bytes: bytes))
        case .folder: self.init(unreadable: path, "is a folder", hint: "name a file")
        case .failure(let code):
            self.init(
                unreadable: path, "\(Errno(code))", hint: "name another with --config, or see rpcwarden-fleet.yaml(5)")
        }
    }

    private init(unreadable path: String, _ why: String, hint: String) {
        start = Location(file: path, line: 1, column: 1)
        diagnostics = [Diagnostic(.error, at: start, "can't be read: \(why)", hint: hint)]
    }

    public init(_ source: SourceFile) {
        start = Location(file: source.path, line: 1, column: 1)
        var findings = Findings()
        if let root = YAMLDocument.root(of: source, &findings) {
            [Field<SidecarSettings>].sidecar.read(
                root, "the configuration", into: &settings, &findings,
                elsewhere: (
                    [Field<Settings>].configuration.map(\.key) + ["pair", "quarantines"],
                    "is a key of rpcwarden.yaml; the daemon tells its sidecar"
                ))
            if case .mapping(let entries)? = root.value(at: "etcd")?.content {
                places = Dictionary(entries.map { ($0.key, $0.value.location) }) { first, _ in first }
            }
            settings.store.findContradictions(in: root, &findings)
        } else if !findings.diagnostics.hasErrors {
            SidecarSettings.Store.tellOfMissingEndpoints(at: start, &findings)
        }
        diagnostics = findings.diagnostics.inReadingOrder(of: [source.path])
    }

    /// Where a value of `etcd` is; without it, the beginning of the file.
    public func place(of key: String) -> Location { places[key] ?? start }
}

extension SidecarSettings.Store {
    private static let endpointsMax = 16

    fileprivate static func tellOfMissingEndpoints(at place: Location, _ findings: inout Findings) {
        findings.error("etcd: \"endpoints\" is missing", at: place, hint: "add endpoints: [\"https://etcd1:2379\"]")
    }

    fileprivate func findContradictions(in root: YAMLNode, _ findings: inout Findings) {
        let section = root.value(at: "etcd")
        let place = section?.location ?? root.location
        if section?.value(at: "endpoints")?.isNull ?? true {
            Self.tellOfMissingEndpoints(at: place, &findings)
        }
        if endpoints.count > Self.endpointsMax {
            findings.error(
                "etcd: \(endpoints.count) endpoints are too many",
                at: section?.value(at: "endpoints")?.location ?? place,
                hint: "use at most \(Self.endpointsMax)")
        }
        for (one, other, isMissing) in [
            ("certificate", "key", certificatePath != nil && keyPath == nil),
            ("key", "certificate", keyPath != nil && certificatePath == nil),
            ("password-file", "user", passwordPath != nil && user == nil),
        ] where isMissing {
            findings.error(
                "etcd: \"\(one)\" needs \"\(other)\"", at: section?.value(at: one)?.location ?? place,
                hint: "add \(other)")
        }
    }
}
