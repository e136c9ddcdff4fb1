import Addresses
import Policy

/// A rule as written in the file: typed, but with unresolved terms.
struct RuleDraft {
    static let nameCharactersMax = 100

    var name: Term?
    var from: [Term] = []
    var except: [Term] = []
    /// `nil`: this host.
    var at: [Term]?
    var to: [Term] = []
    var over: [Transport] = Transport.allCases
    var lists = false
    var open: Opening = .onLookup

    /// `nil` if the node is no mapping; other mistakes are recorded, and their keys left out.
    init?(_ node: YAMLNode, _ findings: inout Findings) {
        guard case .mapping(let entries) = node.content else {
            findings.error("expected a rule, found \(node.kind)", at: node.location, hint: "write \"- name: …\"")
            return nil
        }
        Self.fields.read(node, "a rule", into: &self, &findings)
        for (key, hint) in Self.needed where !entries.contains(where: { $0.key == key }) {
            findings.error("the rule has no \(quoted(key))", at: node.location, hint: hint)
        }
    }

    private static let needed = [
        ("name", "add \"name:\" and what the rule is for"), ("from", "add \"from:\" and its clients"),
        ("to", "add \"to:\" and its programs"),
    ]

    static var fields: [Field<RuleDraft>] {
        [
            Field(key: "name") { node, draft, findings in draft.name = ruleName(node, &findings) },
            .terms("from", \.from, isNeeded: true),
            .terms("except", \.except, isNeeded: false),
            Field(key: "at") { node, draft, findings in
                guard !node.isNull else { return }
                if node.items?.isEmpty == true {
                    findings.error("at: expected a list, found an empty list", at: node.location)
                }
                draft.at = node.terms("at", &findings)
            },
            .terms("to", \.to, isNeeded: true),
            .list("over", \.over, .choice(of: Transport.allCases.map { ($0.description, $0) }), isNeeded: true),
            .value("list", \.lists, .flag),
            .value("open", \.open, .choice),
        ]
    }

    private static func ruleName(_ node: YAMLNode, _ findings: inout Findings) -> Term? {
        guard !node.isNull else {
            findings.error("name: expected a text, found nothing", at: node.location)
            return nil
        }
        guard let name = node.parsed(by: .text, "name", &findings) else { return nil }
        guard name.count <= nameCharactersMax else {
            findings.error(
                "name: \(name.count) characters are too many", at: node.location,
                hint: "use at most \(nameCharactersMax)")
            return nil
        }
        return Term(text: name, location: node.location)
    }
}

extension Field where Root == RuleDraft {
    fileprivate static func terms(_ key: String, _ path: WritableKeyPath<RuleDraft, [Term]>, isNeeded: Bool) -> Self {
        Self(key: key) { node, draft, findings in
            if isNeeded, node.items?.isEmpty == true {
                findings.error(
                    "\(key): expected a list, found \(node.isNull ? "nothing" : "an empty list")", at: node.location)
            }
            draft[keyPath: path] = node.terms(key, &findings)
        }
    }
}

extension YAMLNode {
    /// A list of words; a single word counts as a list of one.
    func terms(_ key: String, _ findings: inout Findings) -> [Term] {
        guard let items else {
            findings.error("\(key): expected a list, found \(kind)", at: location)
            return []
        }
        return items.compactMap { item in
            item.parsed(by: .text, key, &findings).map { Term(text: $0, location: item.location) }
        }
    }
}
