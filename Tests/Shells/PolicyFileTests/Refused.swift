import Policy
import Testing

@testable import PolicyFile

/// A text, and all its diagnostics.
struct Refused: CustomTestStringConvertible {
    var text: String
    var diagnostics: [String]

    init(_ text: String, _ diagnostics: String...) {
        self.text = text
        self.diagnostics = diagnostics
    }

    var testDescription: String { diagnostics.first ?? text }
}

let names = ProgramNames.builtIn

func policy(_ text: String, name: String = "p.yaml") -> ParsedPolicy {
    ParsedPolicy([SourceFile(name: name, text: text)], names: names)
}

func configuration(_ text: String) -> ParsedConfiguration {
    ParsedConfiguration(SourceFile(name: "c.yaml", text: text))
}

extension [Diagnostic] {
    var texts: [String] { map(\.description) }
}
