import Testing

@Suite("Manual pages, read by real tools", .enabled(if: areToolsWanted, "needs RPCWARDEN_LAB=1"))
struct ManualLintTests {
    private func path(_ page: String) -> String { Repository.root.appendingPathComponent("man/\(page)").path }

    @Test("every page is tested")
    func pages() throws {
        #expect(try Repository.names(in: "man") == Manual.pages.sorted())
    }

    @Test("mandoc finds nothing", arguments: Manual.pages)
    func mandoc(_ page: String) throws {
        // Which other manual pages are installed is not a property of rpcwarden's pages.
        let found = try run(["mandoc", "-T", "lint", path(page)]).text.split(separator: "\n")
            .filter { !$0.contains("referenced manual not found") && !$0.contains("outdated mandoc.db") }
        #expect(found == [])
    }

    @Test("man warns of nothing", arguments: Manual.pages)
    func man(_ page: String) throws {
        let output = try run(["env", "LC_ALL=C.UTF-8", "MANWIDTH=80", "man", "--warnings", "-l", path(page)])
        #expect(output.status == 0 && output.errors == "" && output.text.contains("SEE ALSO"), "\(output)")
    }

    @Test("whatis finds the page's name", arguments: Manual.pages)
    func lexgrog(_ page: String) throws {
        let output = try run(["lexgrog", path(page)])
        let name = page.split(separator: ".").dropLast().joined(separator: ".")
        #expect(output.status == 0 && output.text.contains("\"\(name) - "), "\(output)")
    }

    @Test("refers to pages of ours that are there", arguments: Manual.pages)
    func references(_ page: String) throws {
        for line in try Manual(page).lines where line.hasPrefix(".Xr rpcwarden") {
            let words = line.split(separator: " ")
            #expect(Manual.pages.contains("\(words[1]).\(words[2])"), "\(line)")
        }
    }
}
