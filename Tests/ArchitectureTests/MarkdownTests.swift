import Testing

@Suite("the documents' reader") struct MarkdownTests {
    @Test("finds blocks, their names and their languages, also within lists")
    func blocks() {
        let markdown = Markdown(
            "a\n<!-- recipe: b c -->\n```sh\nls\n```\n- d\n\n   <!-- run by: e -->\n   ```\n   f\n   ```\n")
        #expect(markdown.blocks.map(\.recipe) == ["b c", nil] && markdown.blocks.map(\.script) == [nil, "e"])
        #expect(markdown.blocks.map(\.language) == ["sh", ""] && markdown.blocks.map(\.line) == [3, 9])
        #expect(markdown.blocks[0].text == "ls\n" && markdown.indented == [])
    }

    @Test("finds blocks that have no fence, and takes no comment for a name that stands further up")
    func unnamed() {
        let markdown = Markdown("a\n\n    ls\n\n<!-- recipe: b -->\n\n```\nls\n```\n")
        #expect(markdown.indented == [3] && markdown.blocks[0].comment == nil)
    }
}
