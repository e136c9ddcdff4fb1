import Addresses
import Policy

/// Collects groups and rules file by file, then resolves the rules' terms: a group may be defined after its use.
struct PolicyReader {
    private struct Draft {
        var draft: RuleDraft
        var location: Location
        var file: SourceFile
    }

    private let names: ProgramNames
    private var clients: GroupTable<ClientTerm>
    private var programs: GroupTable<ProgramTerm>
    private var servers: GroupTable<ServerTerm>
    /// The names of the configuration; `nil`: unknown.
    private let serverNames: [String]?
    private var drafts: [Draft] = []
    /// Every file could be read.
    private var isWhole = true
    var findings = Findings()
    private(set) var rules: [Rule] = []

    init(names: ProgramNames, servers serverNames: [String]?) {
        self.names = names
        self.serverNames = serverNames
        clients = GroupTable(kind: "clients", literal: .client(groups: []))
        programs = GroupTable(kind: "programs", literal: .program(names: names, groups: []))
        servers = GroupTable(kind: "servers", literal: .server(serverNames, groups: []))
    }

    mutating func read(_ file: SourceFile) {
        let before = findings.diagnostics.count
        guard let root = YAMLDocument.root(of: file, &findings) else {
            isWhole = isWhole && findings.diagnostics.count == before
            return
        }
        guard case .mapping(let entries) = root.content else {
            findings.error("expected clients, programs, servers and rules, found \(root.kind)", at: root.location)
            return
        }
        for entry in entries {
            switch entry.key {
            case "clients": readClients(entry.value)
            case "programs": readPrograms(entry.value)
            case "servers": readServers(entry.value)
            case "rules": readRules(entry.value, of: file)
            case _ where ParsedConfiguration.keys.contains(entry.key):
                findings.error(
                    "\(quoted(entry.key)) is a key of the configuration, not of a policy", at: entry.keyLocation,
                    hint: "move it to rpcwarden.yaml")
            default: findings.unknownKey(entry, among: ParsedPolicy.keys)
            }
        }
    }

    private mutating func readClients(_ node: YAMLNode) {
        for (name, terms, location) in groups(node, "clients") {
            if isLiteral(name, .prefix) {
                findings.error("clients: a group can't be called \(quoted(name)), which is an address", at: location)
            } else {
                clients.add(name, terms, at: location, &findings)
            }
        }
    }

    private mutating func readPrograms(_ node: YAMLNode) {
        for (name, terms, location) in groups(node, "programs") {
            if isLiteral(name, .program(names: names, groups: [])) {
                findings.error(
                    "programs: a group can't be called \(quoted(name)), which is a program", at: location,
                    hint: "choose another name")
            } else {
                programs.add(name, terms, at: location, &findings)
            }
        }
    }

    private mutating func readServers(_ node: YAMLNode) {
        for (name, terms, location) in groups(node, "servers") {
            if name == ServerTerm.anyServer || serverNames?.contains(name) == true {
                findings.error(
                    "servers: a group can't be called \(quoted(name)), which is "
                        + (name == ServerTerm.anyServer ? "every server" : "a server"), at: location,
                    hint: "choose another name")
            } else {
                servers.add(name, terms, at: location, &findings)
            }
        }
    }

    private mutating func groups(_ node: YAMLNode, _ kind: String) -> [(String, [Term], Location)] {
        guard !node.isNull else { return [] }
        guard case .mapping(let entries) = node.content else {
            findings.error(
                "\(kind): expected groups, found \(node.kind)", at: node.location, hint: "write \"name: [member, …]\"")
            return []
        }
        return entries.compactMap { entry in
            let terms = entry.value.terms(entry.key, &findings)
            if entry.value.items?.isEmpty == true {
                findings.warning("\(kind): group \(quoted(entry.key)) is empty", at: entry.keyLocation)
            }
            guard isGroupName(entry.key) else {
                findings.error("\(kind): \(quoted(entry.key)) is not a group name", at: entry.keyLocation)
                return nil
            }
            return (entry.key, terms, entry.keyLocation)
        }
    }

    private func isGroupName(_ name: String) -> Bool {
        let charactersMax = 100
        return (1...charactersMax).contains(name.count)
            && name.unicodeScalars.allSatisfy { isPrintable($0) && !$0.properties.isWhitespace }
    }

    /// Whether a term with this name could mean something other than the group.
    private func isLiteral<Value>(_ text: String, _ syntax: Syntax<Value>) -> Bool {
        do throws(Mistake) {
            _ = try syntax.parse(text)
            return true
        } catch {
            return false
        }
    }

    private mutating func readRules(_ node: YAMLNode, of file: SourceFile) {
        guard !node.isNull else { return }
        guard case .sequence(let items) = node.content else {
            findings.error("rules: expected a list, found \(node.kind)", at: node.location, hint: "write \"- name: …\"")
            return
        }
        for item in items {
            guard let draft = RuleDraft(item, &findings) else { continue }
            drafts.append(Draft(draft: draft, location: item.location, file: file))
        }
    }

    mutating func finish() {
        clients.literal = .client(groups: clients.names)
        programs.literal = .program(names: names, groups: programs.names)
        servers.literal = .server(serverNames, groups: servers.names)
        refuseSharedNames()
        rules = drafts.compactMap { rule(from: $0) }
        // A rule with a mistake may be the one that uses the group.
        let warns = isWhole && !findings.diagnostics.hasErrors
        clients.finish(warns: warns, &findings)
        programs.finish(warns: warns, &findings)
        servers.finish(warns: warns, &findings)
    }

    private mutating func refuseSharedNames() {
        var places: [String: Location] = [:]
        for name in drafts.compactMap(\.draft.name) {
            if let first = places[name.text] {
                findings.error(
                    "two rules are called \(quoted(name.text))", at: name.location, hint: "the first is at \(first)")
            } else {
                places[name.text] = name.location
            }
        }
    }

    private mutating func rule(from draft: Draft) -> Rule? {
        let source = draft.draft
        let from = clients.members(of: source.from, &findings)
        let except = clients.members(of: source.except, &findings)
        let at = source.at.map { ServerScope(servers.members(of: $0, &findings)) } ?? .thisHost
        let to = programs.members(of: source.to, &findings)
        if to.contains(.program(.portmapper)), let term = programs.term(of: source.to, for: .program(.portmapper)) {
            findings.warning(
                "to: program \(Program.portmapper) is always resolvable for clients that a rule names",
                at: term.location, hint: "leave it out")
        }
        guard let name = source.name else { return nil }
        let location = Location(file: draft.file.name, line: draft.location.line, column: draft.location.column)
        return Rule(
            name: name.text, location: location, from: from, except: except, at: at, to: Set(to.compactMap(\.program)),
            programRanges: ProgramRanges(to.compactMap(\.range)), over: Set(source.over), lists: source.lists,
            open: source.open)
    }
}
