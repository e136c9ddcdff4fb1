extension LoadResult {
    /// What was read, what is wrong there, and how many rules it makes: `2 errors, 1 warning in rpcwarden.yaml, nfs.yaml`.
    ///
    /// - Parameter more: warnings that aren't among the diagnostics.
    public func summary(warnings more: Int = 0) -> String {
        let counts: [(Int, String)] = [
            (diagnostics.count { $0.severity == .error }, "error"),
            (diagnostics.count { $0.severity == .warning } + more, "warning"),
        ]
        let problems = counts.filter { $0.0 > 0 }.map { count, noun in
            (count > Findings.diagnosticsMax ? "more than \(Findings.diagnosticsMax)" : "\(count)")
                + " \(noun)\(count == 1 ? "" : "s")"
        }
        let head = problems.isEmpty ? "no problems" : problems.joined(separator: ", ")
        if filesRead.isEmpty { return head + "; no file was read" }
        let tail = rules.isEmpty ? "" : " (\(rules.count) rule\(rules.count == 1 ? "" : "s"))"
        return "\(head) in \(filesRead.joined(separator: ", "))\(tail)"
    }
}
