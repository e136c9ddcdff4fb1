import Configuration
import Foundation
import Testing

@testable import PolicyFile

/// A key as described in a manual page.
struct DescribedKey {
    var path: String
    /// The text behind the colon: `Ar duration`, `Cm enforce | observe`.
    var kind: String
    var choices: [String]
    var defaultValue: String?
    var text: String

    static func all(in format: FileFormat) throws -> [DescribedKey] {
        let parts = Manual.parts(of: try Manual(format.page).section("KEYS"), at: ".Ss")
        return parts.flatMap { part in
            Manual.parts(of: part.lines, at: ".It Ic").map { DescribedKey($0, in: part.title) }
        }
    }

    private init(_ part: Manual.Part, in section: String) {
        let halves = part.title.split(separator: " : ", maxSplits: 1).map(String.init)
        path = section == "Top level" ? halves[0] : "\(section).\(halves[0])"
        kind = halves.count == 2 ? halves[1] : ""
        choices = kind.hasPrefix("Cm ") ? kind.dropFirst(3).split(separator: " | ").map(String.init) : []
        defaultValue = Manual.defaultValue(in: part.lines)
        text = part.lines.joined(separator: " ")
    }
}

@Suite("rpcwarden.yaml(5), rpcwarden-policy(5), rpcwarden-fleet.yaml(5)")
struct FilePageTests {
    @Test("describes the keys that the reader knows, and no others", arguments: FileFormat.allCases)
    func keys(_ format: FileFormat) throws {
        #expect(format.keys().count >= 10)
        #expect(try DescribedKey.all(in: format).map(\.path).sorted() == format.keys().sorted())
    }

    @Test("shows the words that a key takes", arguments: FileFormat.allCases)
    func choices(_ format: FileFormat) throws {
        for key in try DescribedKey.all(in: format) {
            let real = format.choices(key.path)
            if real == ["true", "false"] {
                #expect(key.kind == "Ar flag" || key.kind == "Ar mapping or flag", "\(key.path)")
            } else {
                #expect(key.choices == real, "\(key.path)")
            }
        }
    }

    @Test("says from what to what a number or a duration goes", arguments: FileFormat.allCases)
    func bounds(_ format: FileFormat) throws {
        var count = 0
        for key in try DescribedKey.all(in: format) {
            guard let bounds = format.bounds(key.path) else { continue }
            count += 1
            #expect(key.text.contains("from \(bounds)"), "\(key.path): \(bounds)")
        }
        #expect(format != .configuration || count >= 15)
    }

    @Test("the configuration's defaults are the program's")
    func configurationDefaults() throws {
        let keys = try DescribedKey.all(in: .configuration)
        let defaults = try FileFormat.configuration.defaultPaths.map { path in
            (path: path, value: try #require(keys.first { $0.path == path }?.defaultValue, "\(path)"))
        }
        let parsed = ParsedConfiguration(SourceFile(name: "defaults", text: FileFormat.document(defaults)))
        #expect(parsed.diagnostics == [])
        #expect(parsed.settings == FileFormat.defaultSettings)
        let whole = try #require(keys.first { $0.path == "quarantine" }?.defaultValue)
        #expect(ParsedConfiguration(SourceFile(name: "q", text: "quarantine: \(whole)")).settings == Settings())
    }

    @Test("a rule's defaults are the program's")
    func ruleDefaults() throws {
        let bare = "rules:\n- name: r\n  from: 10.0.0.1\n  to: mountd\n"
        let values = try DescribedKey.all(in: .policy).compactMap { key in
            key.defaultValue.map { "  \(key.path.dropFirst("rules.".count)): \($0)\n" }
        }
        #expect(values.count == 5)
        let rules = { ParsedPolicy([SourceFile(name: "p", text: $0)], names: .builtIn).rules }
        #expect(rules(bare + values.joined()) == rules(bare) && !rules(bare).isEmpty)
    }

    @Test("the program takes each example, without a warning", arguments: FileFormat.allCases)
    func examples(_ format: FileFormat) throws {
        let examples = Manual.displays(in: try Manual(format.page).section("EXAMPLES"))
        #expect(examples.count >= 3)
        for example in examples { #expect(format.diagnostics(example).map(\.description) == [], "\(example)") }
    }
}
