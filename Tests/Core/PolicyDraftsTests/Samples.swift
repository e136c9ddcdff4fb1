import Policy
import PolicyDrafts
import PolicyFile
import Portmapper
import Testing

func ip(_ text: String) -> IPAddress {
    guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
    return address
}

let names = PolicyLoader().programNames

/// The draft as `check` reads it; it must hold no error.
func parsed(_ draft: DraftPolicy) -> ParsedPolicy {
    let text = draft.text(names: names)
    let parsed = ParsedPolicy([SourceFile(name: "draft.yaml", text: text)], names: names)
    let errors = parsed.diagnostics.filter { $0.severity == .error }
    #expect(errors.isEmpty, "\(errors.map(\.description))\n\(text)")
    return parsed
}

func exports(_ text: String) -> ExportsDraft {
    ExportsDraft([ExportsDraft.Source(name: "exports", file: ExportsFile(Array(text.utf8)))])
}

/// SplitMix64: the same numbers for the same seed, everywhere.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
