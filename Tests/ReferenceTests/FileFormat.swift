import Addresses
import Configuration
import Policy
import Testing

@testable import PolicyFile

/// One of the file formats; its properties are derived from its reader's diagnostics for probe documents.
enum FileFormat: String, CaseIterable, CustomTestStringConvertible {
    case configuration
    case policy
    /// fleet.yaml
    case sidecar

    var testDescription: String { rawValue }

    var page: String {
        switch self {
        case .configuration: "rpcwarden.yaml.5"
        case .policy: "rpcwarden-policy.5"
        case .sidecar: "rpcwarden-fleet.yaml.5"
        }
    }

    var schema: String {
        switch self {
        case .configuration: "rpcwarden.schema.json"
        case .policy: "rpcwarden-policy.schema.json"
        case .sidecar: "rpcwarden-fleet.schema.json"
        }
    }

    func diagnostics(_ text: String) -> [Diagnostic] {
        let file = SourceFile(name: "f.yaml", text: text)
        return switch self {
        case .configuration: ParsedConfiguration(file).diagnostics
        case .policy: ParsedPolicy([file], names: .builtIn).diagnostics
        case .sidecar: ParsedSidecarConfiguration(file).diagnostics
        }
    }

    /// The keys whose value is a list of mappings, with the keys that each of these mappings must have.
    static let lists = [
        "rules": [("name", "r"), ("from", "10.0.0.1"), ("to", "mountd")],
        "gateway.servers": [("name", "s"), ("address", "192.0.2.1")],
    ]

    /// The keys whose value is a mapping with keys that it must have.
    static let mappings = ["fleet.policy": [("group", "g")], "fleet.pair": [("name", "p")]]

    /// The keys that fleet.yaml must have, and those that these need.
    private static let companions = [
        "etcd.certificate": ("etcd.key", "/k"), "etcd.key": ("etcd.certificate", "/c"),
        "etcd.password-file": ("etcd.user", "u"),
    ]

    /// A minimal document in which the key, such as `firewall.keep`, has this value.
    func document(_ path: String, _ value: String) -> String {
        var values = [(path: path, value: value)]
        if self == .sidecar {
            if path != "etcd", path != "etcd.endpoints" {
                values.append((path: "etcd.endpoints", value: "[\"https://a\"]"))
            }
            if let (path, value) = Self.companions[path] { values.append((path: path, value: value)) }
        }
        return Self.document(values)
    }

    /// A minimal document in which each key has its value; keys of a list have it in the list's only mapping.
    static func document(_ values: [(path: String, value: String)]) -> String {
        let values = values.map { (keys: $0.path.split(separator: ".").map(String.init)[...], value: $0.value) }
        return lines(values, in: "").map { $0 + "\n" }.joined()
    }

    private static func lines(_ values: [(keys: ArraySlice<String>, value: String)], in path: String) -> [String] {
        var keys: [String] = []
        for key in values.compactMap(\.keys.first) where !keys.contains(key) { keys.append(key) }
        var lines = (lists[path] ?? mappings[path] ?? []).filter { !keys.contains($0.0) }.map { "\($0.0): \($0.1)" }
        for key in keys {
            let own = values.filter { $0.keys.first == key }
            if let value = own.first(where: { $0.keys.count == 1 })?.value {
                lines.append("\(key): \(value)")
            } else {
                let inner = own.map { (keys: $0.keys.dropFirst(), value: $0.value) }
                lines += ["\(key):"] + Self.lines(inner, in: Self.path(key, in: path)).map { "  \($0)" }
            }
        }
        guard lists[path] != nil else { return lines }
        return lines.enumerated().map { ($0.offset == 0 ? "- " : "  ") + $0.element }
    }

    static func path(_ key: String, in path: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// Every key, from the reader's diagnostic for an unknown key.
    func keys(in path: String = "") -> [String] {
        known(document(Self.path("zzzzzzzzzz", in: path), "1")).map { Self.path($0, in: path) }
            .flatMap { [$0] + keys(in: $0) }
    }

    private func known(_ text: String) -> [String] {
        let hints = diagnostics(text).filter { $0.message == "unknown key \"zzzzzzzzzz\"" }.compactMap(\.hint)
        guard let hint = hints.first, hint.hasPrefix("known keys: ") else { return [] }
        return hint.dropFirst("known keys: ".count).split(separator: ", ").map(String.init)
    }

    /// The keys without subkeys. A key with subkeys has no value of its own, except `quarantine: false`.
    func leaves() -> [String] {
        let keys = keys()
        return keys.filter { key in key == "quarantine" || !keys.contains { $0.hasPrefix(key + ".") } }
            .filter { self == .configuration || !Self.groups.contains($0) }
    }

    /// The leaves with a default. The default of `quarantine` is that of its subkeys.
    var defaultPaths: [String] {
        let needed = [Self.lists, Self.mappings].joined().flatMap { path, keys in
            keys.map { Self.path($0.0, in: path) }
        }
        return leaves().filter { $0 != "quarantine" && !needed.contains($0) }
    }

    /// The settings of a configuration in which every key has its default; its gateway has one server, and its
    /// fleet's policy is of group g, its pair p.
    static var defaultSettings: Settings {
        var server = Settings.Server()
        server.name = "s"
        server.addresses = [.v4(0xc000_0201)]
        var settings = Settings()
        settings.gateway = Settings.Gateway()
        settings.gateway?.servers = [server]
        settings.fleet = Settings.Fleet()
        settings.fleet?.policy = Settings.Fleet.Bundle()
        settings.fleet?.policy?.group = "g"
        settings.fleet?.pair = Settings.Fleet.Pair()
        settings.fleet?.pair?.name = "p"
        settings.fleet?.quarantines = Settings.Fleet.Quarantines()
        return settings
    }

    /// The keys of a policy with groups.
    static let groups = ["clients", "programs", "servers"]

    /// The choices such as `[enforce, observe]`, from the reader's diagnostic for another value.
    func choices(_ key: String) -> [String] {
        for diagnostic in diagnostics(document(key, "zzzzzzzzzz")) {
            guard let start = diagnostic.message.firstRange(of: ": expected ")?.upperBound,
                let end = diagnostic.message.firstRange(of: ", found ")?.lowerBound,
                diagnostic.message.contains(" or ")
            else { continue }
            return diagnostic.message[start..<end].replacing(" or ", with: ", ").split(separator: ", ").map(String.init)
        }
        return []
    }

    /// The bounds such as `1s to 365d`, from the reader's diagnostic for a value outside.
    func bounds(_ key: String) -> String? {
        for probe in ["999999999d", "99999999999"] {
            for diagnostic in diagnostics(document(key, probe)) {
                guard let start = diagnostic.message.firstRange(of: "out of range; use ")?.upperBound else { continue }
                return String(diagnostic.message[start...].trimmingPrefix("0, or "))
            }
        }
        return nil
    }
}
