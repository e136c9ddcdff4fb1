import Foundation
import Testing

/// A command of a manual page's EXAMPLES, and the output that the page shows below it.
///
/// A display is run if a comment stands above it: `.\" on server`, or `.\" on server, 72 columns wide` for a command that
/// folds its lines on a terminal. A prompt stands before each command. A line `[...]` stands for any lines.
struct ManualExample {
    var host: String
    /// Of the terminal; `nil`: there is none.
    var columns: Int?
    var command: String
    var output: [String]

    static func all(of page: String, on hosts: Set<String>) throws -> [ManualExample] {
        let page = try String(contentsOfFile: Lab.path("man/\(page)"), encoding: .utf8)
        let displays = page.matches(of: /\n\.\\" on (\w+)(?:, (\d+) columns wide)?\n\.Bd [^\n]*\n((?s).*?)\.Ed\n/)
        return displays.filter { hosts.contains(String($0.1)) }.flatMap { display in
            let lines = display.3.replacing("\\e", with: "\\").replacing("\\(aq", with: "'").replacing("\\&", with: "")
                .split(separator: "\n")
            return lines.reduce(into: [ManualExample]()) { examples, line in
                if line.hasPrefix("# ") {
                    examples.append(
                        ManualExample(
                            host: String(display.1), columns: display.2.flatMap { Int($0) },
                            command: String(line.dropFirst(2)), output: []))
                } else if !examples.isEmpty {
                    examples[examples.count - 1].output.append(String(line))
                }
            }
        }
    }

    /// What the shell runs in that folder.
    func script(in folder: String) -> String {
        let command = "cd \(folder) && \(command)"
        guard let columns else { return command }
        return """
            cat >\(folder)/example.sh <<'EOF'
            stty cols \(columns); export NO_COLOR=1; \(command)
            EOF
            script --quiet --return --command "sh \(folder)/example.sh" /dev/null | tr -d '\\r'
            """
    }

    /// Checks that the output has the page's lines, and no others unless `[...]` stands for them.
    func expect(_ output: Output) {
        let lines = (output.text + output.errors).split(separator: "\n").map(String.init)
        let (shown, real) = (Self.shape(self.output.filter { $0 != Self.gap }), Self.shape(lines))
        let isWhole = shown == real
        let isPart = self.output.contains(Self.gap) && Self.contains(real, shown)
        #expect(isWhole || isPart, "\(command):\n\(output.text)\(output.errors)")
    }

    private static let gap = "[...]"

    /// Numbers and keys (without leading zeros, as minisign shows them) change from run to run, and with them the widths of columns, and the order of ports.
    private static func shape(_ lines: some Sequence<String>) -> [String] {
        lines.map {
            $0.replacing(/[0-9A-F]{12,16}|-[0-9a-f]{8}/, with: "KEY")
                .replacing(/[0-9]+[dhms](?=[0-9 .,]|$)/, with: "TIME").replacing(/(TIME)+/, with: "TIME")
                .replacing(/[0-9]+/, with: "N").replacing(
                    /\ +/, with: " ")
        }.sorted()
    }

    /// Both are sorted.
    private static func contains(_ lines: [String], _ part: [String]) -> Bool {
        var rest = part[...]
        for line in lines where line == rest.first { rest.removeFirst() }
        return rest.isEmpty
    }
}
