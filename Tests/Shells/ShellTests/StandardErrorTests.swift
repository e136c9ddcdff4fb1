import System
import Testing

@Suite("what is written to stderr") struct StandardErrorTests {
    @Test("shows control characters of others as such, and leaves the rest alone")
    func printable() {
        #expect(StandardError.printable("permission denied: é") == "permission denied: é")
        #expect(StandardError.printable("a\u{1b}[2Jb\nc\r\u{9b}") == "a\\u{1b}[2Jb\\u{a}c\\u{d}\\u{9b}")
        #expect(StandardError.printable("\u{202e}x\u{2028}") == "\\u{202e}x\\u{2028}")
    }
}
