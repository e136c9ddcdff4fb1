import Foundation
import Testing

@Suite("the documents") struct DocumentTests {
    private let repository = Repository()

    private static let documents = ["README.md", "docs/OPERATIONS.md", "docs/COOKBOOK.md", "docs/COEXISTENCE.md"]

    /// Scripts that lab tests can't run within themselves.
    private static let elsewhere = [
        "scripts/test": "CI runs this very command, and it runs the demo too",
        "scripts/packagetest": "CI runs it: it runs scripts/package, and installs what that makes on a machine",
        "a release build": "takes minutes; scripts/package makes one, with some more options",
    ]

    /// The functions by which lab tests read blocks of the documents.
    private static let readers = ["Recipe", ".put", ".runs", "succeeds", "block"]

    private func recipesThatRun() throws -> Set<String> {
        var names: Set<String> = []
        for file in repository.swiftFiles(below: "Tests/LabTests") {
            let pieces = try repository.text(file).components(separatedBy: "(\"")
            for (before, after) in zip(pieces, pieces.dropFirst())
            where Self.readers.contains(where: before.hasSuffix) {
                names.insert(String(after.prefix { $0 != "\"" }))
            }
        }
        return names
    }

    @Test("no block of README, OPERATIONS and COOKBOOK goes untested", arguments: documents.prefix(3))
    func blocks(document: String) throws {
        let markdown = Markdown(try repository.text(document))
        let tested = try recipesThatRun()
        #expect(markdown.indented == [], "give each block a fence, and a name above it")
        for block in markdown.blocks where !block.isShown {
            let place = "\(document):\(block.line)"
            if let script = block.script {
                #expect(
                    Self.elsewhere[script] != nil, "\(place): \(script) is not in the list of what else runs blocks")
            } else {
                let name = try #require(block.recipe, "\(place): <!-- recipe: NAME --> must stand above this block")
                #expect(tested.contains(name), "\(place): no lab test runs \(name)")
            }
        }
    }

    @Test("each recipe has a name of its own")
    func names() throws {
        let names = try Self.documents.flatMap { Markdown(try repository.text($0)).blocks.compactMap(\.recipe) }
        #expect(names.count > 30)
        #expect(Set(names).count == names.count, "\(names.sorted())")
    }

    @Test("the tests that the threat model and the handbook name exist")
    func threats() throws {
        let text = try ["docs/THREAT_MODEL.md", "docs/HANDBOOK.md"].map(repository.text).joined(separator: "\n")
        let named = text.matches(of: /`(\w+)`:? “([^”]+)”/).map { (suite: String($0.1), test: String($0.2)) }
        #expect(named.count > 40)
        var files: [(suites: Set<Substring>, tests: Set<Substring>)] = []
        for target in try repository.swiftTargets(in: "Tests") {
            files += try target.files.map { Self.suitesAndTests(of: try repository.text($0)) }
        }
        for (suite, test) in named {
            let isThere = files.contains { $0.suites.contains(suite[...]) && $0.tests.contains(test[...]) }
            #expect(isThere, "\(suite) has no test \"\(test)\"")
        }
    }

    /// The types that a file declares, and the text of its strings and what lies between them.
    private static func suitesAndTests(of source: String) -> (suites: Set<Substring>, tests: Set<Substring>) {
        let words = source.split { " :\n".contains($0) }
        let suites = zip(words, words.dropFirst()).filter { ["struct", "enum"].contains($0.0) }.map(\.1)
        return (Set(suites), Set(source.split(separator: "\"")))
    }

    @Test("each invariant is told with a test that shows it, and has its number")
    func invariants() throws {
        let rows = try repository.text("docs/HANDBOOK.md").matches(of: /\n\| (\d+) \| \*\*[^|]+\| `/).map {
            String($0.1)
        }
        #expect(rows == (1...11).map(String.init))
    }

    @Test("ARCHITECTURE stays a page that can be read at once")
    func length() throws {
        #expect(
            try repository.text("docs/ARCHITECTURE.md").split(separator: "\n", omittingEmptySubsequences: false).count
                <= 150)
    }

    @Test("one version: what the program says is what packages, changelogs and the spec say")
    func version() throws {
        let version = try repository.version()
        #expect(try repository.text("packaging/debian/changelog").hasPrefix("rpcwarden (\(version)"))
        #expect(try repository.text("packaging/rpcwarden.spec").contains("Version:        \(version)\n"))
        #expect(try repository.text("CHANGELOG.md").contains("\n## \(version)"))
    }

    @Test("each threat is told with what stops it, what shows that, and what remains")
    func rows() throws {
        let rows = try repository.text("docs/THREAT_MODEL.md").split(separator: "\n").filter { $0.hasPrefix("| T") }
        #expect(rows.count > 20)
        for row in rows {
            let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            #expect(cells.count == 4 && !cells.contains(""), "\(row)")
            #expect(cells.count == 4 && cells[2].contains("“"), "no test shows it: \(row)")
        }
    }

    @Test("links between documents lead somewhere")
    func links() throws {
        let documents =
            try repository.files(of: "", ending: ".md") + repository.files(of: "docs", ending: ".md")
            + repository.files(of: "docs/decisions", ending: ".md") + ["Sources/README.md"]
        #expect(documents.count > 20)
        for document in documents { try expectLinks(of: document) }
    }

    private func expectLinks(of document: String) throws {
        let text = try repository.text(document)
        let folder = repository.root.appendingPathComponent(document).deletingLastPathComponent()
        for match in text.matches(of: /\]\(([^)#]+)(?:#[^)]*)?\)/) where !match.1.contains("://") {
            let path = folder.appendingPathComponent(String(match.1)).path
            #expect(FileManager.default.fileExists(atPath: path), "\(document): \(match.1)")
        }
        for match in text.matches(of: /[\s(`]((?:docs|contrib|policy|scripts|systemd)\/[\w.\/-]*\w)/) {
            let path = repository.root.appendingPathComponent(String(match.1)).path
            #expect(FileManager.default.fileExists(atPath: path), "\(document): \(match.1)")
        }
    }
}
