import Foundation
import Testing

/// A page of `report`, and the browser that it is looked at in.
private final class Browser {
    /// Screenshots stay here, for people.
    static let artefacts = Repository.root.appendingPathComponent(".build/artefacts").path

    let folder: String
    private let page: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("rpcwarden-\(UUID().uuidString)").path
        for path in [folder, Self.artefacts] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        let script = Repository.root.appendingPathComponent("Tests/ReferenceTests/mixedlog.py").path
        // A word that no line has room for.
        let word = String(repeating: "W", count: 300)
        let wide = """
            {"ts":"2026-11-09T08:00:00Z","event":"tampered","host":"\(word)","detail":"\(word)","count":1}
            {"ts":"2026-11-09T08:00:00Z","event":"permitted","host":"filer1","client":"2001:db8:1234:5678:9abc:def0:1234:5678",\
            "rule":"\(word)","program":100003,"program_name":"\(word)"}

            """
        let log = try run(["python3", script, "4000"]).text + wide
        page = try run([BuiltProgram.path, "report", "-", "--format", "html"], input: log).text
        try page.write(toFile: "\(folder)/report.html", atomically: false, encoding: .utf8)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// The sandbox of Chromium doesn't run as root.
    func look(_ name: String, _ options: String...) throws -> Output {
        let own = [
            "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--hide-scrollbars", "--user-data-dir=\(folder)/profile", "--enable-logging=stderr", "--v=0",
        ]
        return try run(["timeout", "60", "chromium"] + own + options + ["file://\(folder)/\(name)"])
    }

    /// The widths of the page and of its window, told by a script of the test's in a copy of the page.
    ///
    /// The copy is in a frame: a window of Chromium is 500 pixels wide at the least.
    func measured(width: Int) throws -> [Int] {
        let policy = try #require(page.firstMatch(of: /<meta http-equiv="Content-Security-Policy"[^>]*>/)).output
        let script = """
            <script>document.querySelectorAll("details").forEach(d => d.open = true)
            parent.postMessage("widths " + document.documentElement.scrollWidth + " " + innerWidth, "*")</script></body>
            """
        let copy = page.replacingOccurrences(of: policy, with: "").replacingOccurrences(of: "</body>", with: script)
        try copy.write(toFile: "\(folder)/copy.html", atomically: false, encoding: .utf8)
        let frame = """
            <script>onmessage = message => document.title = message.data</script>
            <iframe src="copy.html" style="width:\(width)px;height:800px;border:0"></iframe>
            """
        try frame.write(toFile: "\(folder)/frame.html", atomically: false, encoding: .utf8)
        let output = try look("frame.html", "--window-size=1400,900", "--virtual-time-budget=5000", "--dump-dom")
        let title = try #require(output.text.firstMatch(of: /<title>widths (\d+) (\d+)<\/title>/), "\(output)").output
        return try [title.1, title.2].map { try #require(Int($0)) }
    }
}

@Suite("the page of report, in Chromium", .serialized, .enabled(if: areToolsWanted, "needs RPCWARDEN_LAB=1"))
struct ReportPageTests {
    @Test("is shown without an error in the console, wide and narrow", arguments: [(1280, 3200), (360, 3200)])
    func console(width: Int, height: Int) throws {
        let browser = try Browser()
        let path = "\(Browser.artefacts)/report-\(width).png"
        let output = try browser.look("report.html", "--window-size=\(width),\(height)", "--screenshot=\(path)")
        #expect(output.status == 0 && !output.errors.contains("CONSOLE"), "\(output)")
        let image = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(image.starts(with: [0x89, 0x50, 0x4e, 0x47]) && image.count > 20_000)
        print("screenshot: \(path)")
    }

    @Test("fits the width of the screen, whatever words the log has", arguments: [1280, 700, 360])
    func overflow(width: Int) throws {
        let browser = try Browser()
        #expect(try browser.measured(width: width) == [width, width])
    }

    @Test("is readable on paper: the summary first, without links to its parts, and every table")
    func paper() throws {
        let browser = try Browser()
        let path = "\(Browser.artefacts)/report.pdf"
        let output = try browser.look("report.html", "--no-pdf-header-footer", "--print-to-pdf=\(path)")
        #expect(output.status == 0 && !output.errors.contains("CONSOLE"), "\(output)")
        let text = try run(["pdftotext", "-layout", path, "-"]).text
        let summary = try #require(text.range(of: "Summary")), place = try #require(text.range(of: "Who used what"))
        #expect(summary.lowerBound < place.lowerBound)
        #expect(text.ranges(of: "Who used what").count == 1, "the links are left out")
        for part in ["stranger", "filer2", "CIS 2.1.12", "198.51.100"] { #expect(text.contains(part), "\(part)") }
        print("printed: \(path)")
    }
}
