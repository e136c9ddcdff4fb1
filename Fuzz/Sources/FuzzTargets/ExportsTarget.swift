import Policy
import PolicyDrafts
import PolicyFile

extension FuzzTarget {
    /// A file of exports(5); the draft from it must be readable, and contain no client that the file lacks.
    static let exports = FuzzTarget(name: "exports", allocationFactor: nil) { bytes in
        let file = ExportsFile(Array(bytes))
        let draft = ExportsDraft([ExportsDraft.Source(name: "exports", file: file)])
        let text = draft.policy.text(names: names)
        require(text.utf8.allSatisfy { $0 == 0x0a || (0x20...0x7e).contains($0) }, "a draft that is no plain text")
        let parsed = ParsedPolicy([SourceFile(name: "draft.yaml", text: text)], names: names)
        require(!parsed.diagnostics.contains { $0.severity == .error }, "\(parsed.diagnostics)\n\(text)")
        let isWorld = file.entries.contains { $0.client == .everyone(.written) }
        for term in Set(parsed.rules.flatMap(\.from)) {
            let isExported = file.entries.contains { entry in
                switch (entry.client, term) {
                case (.network(let prefix), .prefix(let named)): prefix == named
                case (.host(let name), .host(let named)): name == named
                default: false
                }
            }
            let isEveryone = if case .prefix(let prefix) = term { prefix.length == 0 && isWorld } else { false }
            require(isExported || isEveryone, "\(term) is exported to by nobody")
        }
    }

    private static let names = ProgramNames(
        etcRPC: "nfs 100003\nmountd 100005\nnlockmgr 100021\nstatus 100024\nportmapper 100000\n")
}
