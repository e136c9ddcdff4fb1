import Addresses
import Policy
import PolicyDrafts
import PolicyFile
import Testing

let names = PolicyLoader().programNames

/// The draft as `check` parses it; it must contain no error.
func parsed(_ draft: DraftPolicy) -> ParsedPolicy {
    let text = draft.text(names: names)
    let parsed = ParsedPolicy([SourceFile(name: "draft.yaml", text: text)], names: names)
    let errors = parsed.diagnostics.filter { $0.severity == .error }
    #expect(errors.isEmpty, "\(errors.map(\.description))\n\(text)")
    return parsed
}

func exports(_ text: String, at server: String? = nil) -> ExportsDraft {
    ExportsDraft([ExportsDraft.Source(name: "exports", file: ExportsFile(Array(text.utf8)))], at: server)
}
