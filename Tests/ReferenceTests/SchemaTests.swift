import Configuration
import Foundation
import Testing

@testable import HostPosture
@testable import PolicyDrafts
@testable import PolicyFile

/// One of rpcwarden's JSON Schemas, by the keys of its files.
private struct Schema {
    typealias Node = [String: Any]
    let root: Node

    init(_ format: FileFormat) throws {
        let data = Data(try Repository.text("schema/\(format.schema)").utf8)
        root = try #require(try JSONSerialization.jsonObject(with: data) as? Node)
    }

    /// The schema of each key, by path, such as `firewall.keep`.
    var keys: [String: Node] { Self.keys(of: root, in: "") }

    private static func keys(of node: Node, in path: String) -> [String: Node] {
        var keys: [String: Node] = [:]
        for (key, inner) in properties(of: node) {
            let whole = FileFormat.path(key, in: path)
            keys[whole] = inner
            keys.merge(Self.keys(of: inner, in: whole)) { first, _ in first }
        }
        return keys
    }

    private static func properties(of node: Node) -> [String: Node] {
        let places = [node, node["items"] as? Node ?? [:]] + alternatives(of: node)
        return places.compactMap { $0["properties"] as? [String: Node] }.first ?? [:]
    }

    static func alternatives(of node: Node) -> [Node] { node["anyOf"] as? [Node] ?? [] }

    static func choices(of node: Node) -> [String] {
        let words = ([node] + alternatives(of: node)).compactMap { $0["enum"] as? [Any] }.first ?? []
        return words.compactMap { $0 as? String }
    }

    /// The paths of objects that allow unknown keys.
    static func open(_ value: Any, _ path: String = "") -> [String] {
        if let items = value as? [Any] { return items.flatMap { open($0, path) } }
        guard let node = value as? Node else { return [] }
        let isOpen = node["properties"] is Node && node["type"] != nil && node["additionalProperties"] as? Bool != false
        return (isOpen ? [path] : []) + node.flatMap { open($0.value, "\(path)/\($0.key)") }
    }
}

@Suite("JSON Schemas")
struct SchemaTests {
    @Test("a schema has the keys that the reader knows, and no others", arguments: FileFormat.allCases)
    func keys(_ format: FileFormat) throws {
        let schema = try Schema(format)
        #expect(schema.keys.keys.sorted() == format.keys().sorted())
        #expect(Schema.open(schema.root) == [])
        #expect(schema.keys.filter { ($0.value["description"] as? String ?? "").isEmpty }.map(\.key) == [])
    }

    @Test("a schema has the words that the reader takes, in its order", arguments: FileFormat.allCases)
    func choices(_ format: FileFormat) throws {
        for (path, node) in try Schema(format).keys {
            let real = format.choices(path)
            #expect(Schema.choices(of: node) == (real == ["true", "false"] ? [] : real), "\(path)")
        }
    }

    @Test("a schema's description says from what to what a value goes", arguments: FileFormat.allCases)
    func bounds(_ format: FileFormat) throws {
        for (path, node) in try Schema(format).keys {
            guard let bounds = format.bounds(path) else { continue }
            #expect((node["description"] as? String ?? "").contains(bounds), "\(path): \(bounds)")
        }
    }

    @Test("the configuration's defaults are the program's")
    func configurationDefaults() throws {
        let keys = try Schema(.configuration).keys
        let defaults = try FileFormat.configuration.defaultPaths.map { path in
            let value = try #require(keys[path]?["default"], "\(path)")
            return (path: path, value: try Self.text(value))
        }
        let parsed = ParsedConfiguration(SourceFile(name: "defaults", text: FileFormat.document(defaults)))
        #expect(parsed.diagnostics == [])
        #expect(parsed.settings == FileFormat.defaultSettings)
    }

    private static func text(_ json: Any) throws -> String {
        let options: JSONSerialization.WritingOptions = [.fragmentsAllowed, .withoutEscapingSlashes]
        return String(decoding: try JSONSerialization.data(withJSONObject: json, options: options), as: UTF8.self)
    }

    @Test("a rule's defaults are the program's")
    func ruleDefaults() throws {
        let defaults = try Schema(.policy).keys.filter { $0.key.hasPrefix("rules.") }
            .compactMapValues { $0["default"] }
        #expect(defaults.count == 5)
        let bare = "rules:\n- name: r\n  from: 10.0.0.1\n  to: mountd\n"
        let lines = try defaults.map { path, value in
            "  \(path.dropFirst("rules.".count)): \(try Self.text(value))\n"
        }
        let rules = { ParsedPolicy([SourceFile(name: "p", text: $0)], names: .builtIn).rules }
        #expect(rules(bare + lines.joined()) == rules(bare) && !rules(bare).isEmpty)
    }

    @Test("what we ship and write begins with the line by which editors find the schema")
    func schemaLines() throws {
        let line = { (format: FileFormat) in
            "# yaml-language-server: $schema=/usr/share/rpcwarden/schema/\(format.schema)\n"
        }
        for name in try Repository.names(in: "policy") {
            let format: FileFormat = name == "rpcwarden.yaml" ? .configuration : .policy
            #expect(try Repository.text("policy/\(name)").hasPrefix(line(format)), "\(name)")
        }
        #expect(SetupFiles.configurationText.hasPrefix(line(.configuration)))
        #expect(SetupFiles.policyText.hasPrefix(line(.policy)))
        #expect(DraftPolicy.schemaLine + "\n" == line(.policy))
        for format in FileFormat.allCases {
            let id = try Schema(format).root["$id"] as? String
            #expect(id == "file:///usr/share/rpcwarden/schema/\(format.schema)")
            let page = try Repository.text("man/\(format.page)")
            #expect(page.contains("$schema=\n") && page.contains("/usr/share/rpcwarden/schema/\(format.schema)\n"))
        }
    }
}
