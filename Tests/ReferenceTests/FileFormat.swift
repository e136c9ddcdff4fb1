import Policy
import Testing

@testable import PolicyFile

/// One of the two file formats; its properties are derived from its reader's diagnostics for probe documents.
enum FileFormat: String, CaseIterable, CustomTestStringConvertible {
    case configuration
    case policy

    var testDescription: String { rawValue }

    var page: String { self == .configuration ? "rpcwarden.yaml.5" : "rpcwarden-policy.5" }
    var schema: String { self == .configuration ? "rpcwarden.schema.json" : "rpcwarden-policy.schema.json" }

    func diagnostics(_ text: String) -> [Diagnostic] {
        let file = SourceFile(name: "f.yaml", text: text)
        return self == .configuration
            ? ParsedConfiguration(file).diagnostics : ParsedPolicy([file], names: .builtIn).diagnostics
    }

    /// A minimal document in which the key, such as `firewall.keep`, has this value.
    func document(_ path: String, _ value: String) -> String {
        let keys = path.split(separator: ".").map(String.init)
        guard keys.count == 2 else { return "\(path): \(value)\n" }
        guard keys[0] == "rules" else { return "\(keys[0]): {\(keys[1]): \(value)}\n" }
        let others = [("name", "r"), ("from", "10.0.0.1"), ("to", "mountd")].filter { $0.0 != keys[1] }
        let lines = others.map { "\($0.0): \($0.1)" } + ["\(keys[1]): \(value)"]
        return "rules:\n  - " + lines.joined(separator: "\n    ") + "\n"
    }

    /// Every key, from the reader's diagnostic for an unknown key.
    func keys() -> [String] {
        let top = known(document("zzzzzzzzzz", "1"))
        return top.flatMap { key in [key] + known(document("\(key).zzzzzzzzzz", "1")).map { "\(key).\($0)" } }
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
            .filter { !["clients", "programs"].contains($0) }
    }

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
