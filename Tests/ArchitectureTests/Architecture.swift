/// Who may import whom (docs/ARCHITECTURE.md); checked on text, so that it can be shown to fail.
enum Architecture {
    /// Pure targets, each with the targets that it may import.
    static let pure: [String: Set<String>] = [
        "Addresses": [],
        "Clock": [],
        "ONCRPC": [],
        "Portmapper": ["Addresses", "ONCRPC"],
        "Policy": ["Addresses"],
        "Firewall": ["Addresses"],
        "Configuration": ["Addresses", "Firewall"],
        "Calls": ["Addresses", "ONCRPC", "Portmapper"],
        "AuditTrail": ["Addresses", "Clock", "Portmapper"],
        "HostPosture": ["Addresses", "Portmapper"],
        "Activity": [],
        "Warden": [
            "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Configuration", "Calls", "AuditTrail",
        ],
        "PolicyDrafts": ["Addresses", "Clock", "Policy", "AuditTrail"],
        "Privilege": ["Addresses", "ONCRPC", "Policy", "Firewall", "Configuration"],
    ]

    /// Each touches one outside thing; none imports another, Daemon, or the Warden's decisions.
    static let shells: Set<String> = [
        "PolicyFile", "HostNames", "PortmapServer", "RpcbindClient", "Netfilter", "Sandbox", "AuditLog",
        "Control", "Metrics", "HostSurvey",
    ]

    /// What the C library is asked, for those who would each ask it in a way of their own.
    static let underShells: Set<String> = ["System"]

    /// Compose the others.
    static let tops: Set<String> = ["Daemon", "rpcwarden"]

    /// Where FoundationEssentials is worth its weight. Foundation itself is nowhere.
    static let mayImportFoundationEssentials: Set<String> = ["Control", "rpcwarden", "Daemon"]

    /// Lines of code that break a rule and must: by file name, then the line without its indentation. None so far.
    static let permittedLines: [String: Set<String>] = [:]

    /// What is wrong with a file of `target`: one sentence for each.
    static func violations(in source: String, file: String, target: String) -> [String] {
        let code = SourceText(source).code
        return importViolations(imports(in: code), target: target).map { "\(file): \($0)" }
            + lineViolations(in: code, file: file)
    }

    /// The modules that Swift code imports; comments and strings are already out of it.
    static func imports(in code: String) -> Set<String> {
        let pattern =
            #/^\s*(?:(?:@\w+(?:\([^)\n]*\))?|public|package|internal|fileprivate|private)\s+)*import\s+(?:(?:typealias|struct|class|enum|protocol|let|var|func|actor)\s+)?`?(\w+)/#
            .anchorsMatchLineEndings()
        // Several on one line, behind semicolons, are lines of their own.
        return Set(code.replacing(";", with: "\n").matches(of: pattern).map { String($0.output.1) })
    }

    private static func importViolations(_ imports: Set<String>, target: String) -> [String] {
        var found: [String] = []
        if let allowed = pure[target] {
            found += imports.subtracting(allowed).map { "\(target) is pure and must not import \($0)" }
        } else if shells.union(underShells).contains(target) {
            let forbidden = shells.union(tops).union(["Warden"]).subtracting([target])
            found += imports.intersection(forbidden).map { "the shell \(target) must not import \($0)" }
        } else if !tops.contains(target) {
            found.append("\(target) has no place in the architecture; give it one in Tests/ArchitectureTests")
        }
        found += imports.filter { $0 == "Foundation" || $0.hasPrefix("FoundationNet") || $0.hasPrefix("FoundationXML") }
            .map { "no target imports \($0)" }
        if imports.contains("FoundationEssentials"), !mayImportFoundationEssentials.contains(target),
            pure[target] == nil
        {
            found.append("\(target) must not import FoundationEssentials")
        }
        return found.sorted()
    }

    private static func lineViolations(in code: String, file: String) -> [String] {
        code.split(separator: "\n").compactMap { line in
            let text = line.drop { $0 == " " }
            guard let what = forbidden(in: text), permittedLines[file]?.contains(String(text)) != true else {
                return nil
            }
            return "\(file): \(what) in `\(text)`"
        }
    }

    /// What the line holds that no source may hold.
    static func forbidden(in line: some StringProtocol) -> String? {
        let line = String(line)
        if line.contains(#/\btry\s*!/#) { return "try!" }
        if line.contains(#/\btry\s*\?/#) { return "try?" }
        if line.contains(#/\bas\s*!/#) { return "as!" }
        // Behind an operand, `!` unwraps (or declares a type that will); before one, it negates.
        if line.contains(#/[\w)\]}>"`?]!(?!=)/#) || line.contains(#/[\w)\]}"`?]!={2,}/#) { return "force unwrap" }
        return nil
    }
}
