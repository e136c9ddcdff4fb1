import Policy
import Testing

@testable import PolicyFile

@Suite("YAML documents")
struct YAMLDocumentTests {
    private func read(_ text: String) -> (root: YAMLNode?, diagnostics: [String]) {
        read(Array(text.utf8))
    }

    private func read(_ bytes: [UInt8]) -> (root: YAMLNode?, diagnostics: [String]) {
        var findings = Findings()
        let root = YAMLDocument.root(of: SourceFile(name: "y.yaml", bytes: bytes), &findings)
        return (root, findings.diagnostics.texts)
    }

    @Test(
        "refuses what a configuration has no use for, and says where",
        arguments: [
            Refused("a: &x 1", "y.yaml:1:4: error: anchors (&) are not supported; write the value out"),
            Refused("a: [&x b]", "y.yaml:1:5: error: anchors (&) are not supported; write the value out"),
            Refused(
                "a: *x",
                "y.yaml:1:4: error: aliases (*) are not supported; write the value out, or put \"*…\" in quotes"),
            Refused("a: !!int 1", "y.yaml:1:4: error: tags (!) are not supported; leave the tag out"),
            Refused("a: !x {b: c}", "y.yaml:1:4: error: tags (!) are not supported; leave the tag out"),
            Refused("a: 1\n---\nb: 2", "y.yaml:2:1: error: a second document; one file holds one document"),
            Refused("a: 1\nb: 2\na: 3", "y.yaml:3:1: error: duplicate key \"a\"; the first is at y.yaml:1:1"),
            Refused(
                "m:\n  k: 1\n  \"k\": 2\n  k: 3",
                "y.yaml:3:3: error: duplicate key \"k\"; the first is at y.yaml:2:3",
                "y.yaml:4:3: error: duplicate key \"k\"; the first is at y.yaml:2:3"),
            Refused("[a, b]: 1", "y.yaml:1:1: error: a key must be a word, not a list"),
            Refused(
                "a: [1, 2",
                "y.yaml:2:1: error: while parsing a flow sequence (begun at 1:4): did not find expected ',' or ']'"),
            Refused(
                "a: \"b",
                "y.yaml:1:6: error: while scanning a quoted scalar (begun at 1:4): found unexpected end of stream"),
            Refused(
                "a: 1\n\tb: 2",
                "y.yaml:2:1: error: while scanning a plain scalar (begun at 1:4): found a tab character that violates"
                    + " indentation; indent with spaces"
            ),
            Refused("a: b: c", "y.yaml:1:5: error: mapping values are not allowed in this context"),
            Refused(
                "listen: [::]:111",
                "y.yaml:1:10: error: while parsing a flow node (begun at 1:10): did not find expected node content;"
                    + " write IPv6 in quotes"
            ),
            Refused("a: 1\n  b: 2", "y.yaml:2:4: error: mapping values are not allowed in this context"),
            Refused(
                "a: @b",
                "y.yaml:1:4: error: while scanning for the next token (begun at 1:4): found character that cannot"
                    + " start any token; write it in quotes"
            ),
            Refused(
                String(repeating: "[", count: 17) + String(repeating: "]", count: 17),
                "y.yaml:1:17: error: nested deeper than 16 levels"),
        ])
    func refusal(_ refused: Refused) {
        #expect(read(refused.text).diagnostics == refused.diagnostics)
    }

    @Test("points at the byte that is not UTF-8")
    func encoding() {
        #expect(
            read(Array("a: 1\nb: \"ü".utf8) + [0xff]).diagnostics == ["y.yaml:2:6: error: invalid leading UTF-8 octet"])
    }

    @Test("refuses a file beyond 4 MiB, and takes one of just 4 MiB")
    func size() {
        let comment = [UInt8](repeating: UInt8(ascii: "#"), count: SourceFile.bytesMax)
        #expect(read(comment).diagnostics == [])
        #expect(read(comment + [UInt8(ascii: "#")]).diagnostics == ["y.yaml:1:1: error: the file is longer than 4 MiB"])
    }

    @Test("refuses more values than it may hold")
    func count() {
        let items = String(repeating: "a\n,", count: YAMLDocument.nodesMax)
        #expect(
            read("[\(items)]").diagnostics == ["y.yaml:250000:2: error: more than 250000 values in one file"])
    }

    @Test("stops an alias bomb at its first alias")
    func bomb() {
        let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]"
        #expect(
            read(bomb).diagnostics == [
                "y.yaml:1:4: error: anchors (&) are not supported; write the value out",
                "y.yaml:2:4: error: anchors (&) are not supported; write the value out",
                "y.yaml:2:8: error: aliases (*) are not supported; write the value out, or put \"*…\" in quotes",
            ])
    }

    @Test("takes nesting of just 16 levels")
    func depth() {
        let text = String(repeating: "[", count: 16) + String(repeating: "]", count: 16)
        #expect(read(text).diagnostics == [])
    }

    @Test(
        "an empty document, a comment and null are nothing", arguments: ["", "\n", "# only words", "---", "~", "null"])
    func empty(_ text: String) {
        let result = read(text)
        #expect(result.root == nil)
        #expect(result.diagnostics == [])
    }

    @Test("counts lines and columns from 1, columns in characters")
    func places() throws {
        let root = try #require(read("\u{feff}ä: {\"öö\": [x, yes]}").root)
        let list = try #require(root.value(at: "ä", "öö")?.items)
        #expect(list.map(\.location.column) == [13, 16])
        #expect(list[1].content == .scalar(YAMLNode.Scalar(text: "yes", isPlain: true)))
    }

    @Test(
        "only plain words are null",
        arguments: [("a: ~", true), ("a:", true), ("a: null", true), ("a: \"\"", false), ("a: 'null'", false)])
    func null(_ text: String, _ isNull: Bool) throws {
        #expect(try #require(read(text).root?.value(at: "a")).isNull == isNull)
    }
}
