/// The permitted imports between targets (docs/ARCHITECTURE.md); checked on text, so that tests can show
/// violations.
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
        "HostPosture": ["Addresses", "Portmapper", "Firewall"],
        "Activity": [],
        "Probes": ["Addresses", "ONCRPC", "Portmapper"],
        // The parts of the Warden know nothing of each other.
        "Exchanges": ["Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Calls", "AuditTrail"],
        "Upstream": ["Addresses", "Clock", "Portmapper", "Policy", "Firewall", "Calls", "AuditTrail"],
        "Gate": ["Addresses", "Clock", "Policy", "Firewall", "Configuration", "AuditTrail"],
        "Watch": ["Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Configuration", "Calls", "AuditTrail"],
        "Journal": ["Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Configuration", "Calls", "AuditTrail"],
        "Warden": [
            "Addresses", "Clock", "ONCRPC", "Portmapper", "Policy", "Firewall", "Configuration", "Calls", "AuditTrail",
            "FleetRecords", "Exchanges", "Upstream", "Gate", "Sharing", "Watch", "Journal",
        ],
        "Sharing": ["Addresses", "Clock", "Firewall", "Configuration", "FleetRecords"],
        "PolicyDrafts": ["Addresses", "Clock", "Policy", "AuditTrail"],
        "Privilege": ["Addresses", "ONCRPC", "Policy", "Firewall", "Configuration"],
        "Bundles": ["Addresses", "Clock", "Policy"],
        "FleetRecords": ["Addresses", "Bundles", "Clock", "JSON"],
        "Fleet": ["Addresses", "Bundles", "Clock", "FleetRecords"],
        "JSON": [],
        "Reports": ["Addresses", "Clock", "Policy", "AuditTrail", "HostPosture", "Activity", "JSON"],
    ]

    /// Each shell uses one outside resource; no shell imports another shell, Daemon, or the Warden's decisions.
    static let shells: Set<String> = [
        "PolicyFile", "HostNames", "PortmapServer", "RpcbindClient", "Liveness", "Netfilter", "Sandbox", "AuditLog",
        "Control", "Metrics", "HostSurvey", "Console", "Etcd",
    ]

    /// Wrappers of C library calls that several shells share.
    static let underShells: Set<String> = ["System", "Signatures"]

    /// Targets that compose the others.
    static let tops: Set<String> = ["Daemon", "rpcwarden", "Sidecar", "rpcwarden-fleet"]

    /// What the daemon's program must not link, not even by way of another target: TLS, HTTP, and what needs them.
    static let onlyOfSidecar: Set<String> = ["NIOSSL", "NIOHTTP1", "NIOTLS", "Etcd", "Sidecar"]

    /// Targets that may import FoundationEssentials despite its size. Foundation itself is permitted nowhere.
    static let mayImportFoundationEssentials: Set<String> = ["Control", "rpcwarden", "Daemon"]

    /// Permitted violations: by file name, the line of code without its indentation. None so far.
    static let permittedLines: [String: Set<String>] = [:]

    /// The violations in a file of `target`, one sentence each.
    static func violations(in source: String, file: String, target: String) -> [String] {
        let code = SourceText(source).code
        return importViolations(imports(in: code), target: target).map { "\(file): \($0)" }
            + lineViolations(in: code, file: file)
    }

    /// The modules that Swift code imports; comments and strings have been removed from it.
    static func imports(in code: String) -> Set<String> {
        let pattern =
            #/^\s*(?:(?:@\w+(?:\([^)\n]*\))?|public|package|internal|fileprivate|private)\s+)*import\s+(?:(?:typealias|struct|class|enum|protocol|let|var|func|actor)\s+)?`?(\w+)/#
            .anchorsMatchLineEndings()
        // Treats several statements on one line, separated by semicolons, as separate lines. A regex is slow here.
        let statements = code.split { $0 == ";" || $0.isNewline }.filter { $0.contains("import") }
        return Set(statements.flatMap { $0.matches(of: pattern) }.map { String($0.output.1) })
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

    /// The construct in the line that no source may contain.
    static func forbidden(in line: some StringProtocol) -> String? {
        // Almost no line has one of them, and regexes are slow.
        guard line.utf8.contains(where: { $0 == UInt8(ascii: "!") || $0 == UInt8(ascii: "?") }) else { return nil }
        let line = String(line)
        if line.contains(#/\btry\s*!/#) { return "try!" }
        if line.contains(#/\btry\s*\?/#) { return "try?" }
        if line.contains(#/\bas\s*!/#) { return "as!" }
        // Behind an operand, `!` unwraps, or declares an implicitly unwrapped type; before an operand, it negates.
        if line.contains(#/[\w)\]}>"`?]!(?!=)/#) || line.contains(#/[\w)\]}"`?]!={2,}/#) { return "force unwrap" }
        return nil
    }
}
