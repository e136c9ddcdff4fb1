import Policy

/// A word of a policy and its place.
struct Term: Hashable {
    var text: String
    var location: Location
}

/// The groups of one kind, clients or programs, of a whole policy; expands the terms that name groups.
struct GroupTable<Member: Hashable> {
    /// Bounds the recursion of expansion; real policies nest less than four deep.
    static var nestingMax: Int { 16 }
    /// Ten thousand prefixes in each of a hundred rules.
    static var expandedMax: Int { 1_000_000 }

    private struct Group {
        var terms: [Term]
        var location: Location
        var isUsed = false
    }

    /// `clients` or `programs`, as the key in the file.
    let kind: String
    /// The syntax of a term that is no group name.
    var literal: Syntax<Member>
    private var groups: [String: Group] = [:]
    /// In the order of the files, which is also the order of diagnostics.
    private(set) var names: [String] = []
    private var expansions: [String: [Member]] = [:]
    private var expandedCount = 0

    init(kind: String, literal: Syntax<Member>) {
        self.kind = kind
        self.literal = literal
    }

    mutating func add(_ name: String, _ terms: [Term], at location: Location, _ findings: inout Findings) {
        if let first = groups[name] {
            findings.error(
                "\(kind): group \(quoted(name)) is defined twice", at: location,
                hint: "the first is at \(first.location)"
            )
            return
        }
        groups[name] = Group(terms: terms, location: location)
        names.append(name)
    }

    func contains(_ name: String) -> Bool { groups[name] != nil }

    /// The members that a rule's terms expand to, each once.
    mutating func members(of terms: [Term], _ findings: inout Findings) -> [Member] {
        united(terms, within: [], &findings)
    }

    /// The term that a member comes from.
    func term(of terms: [Term], for member: Member) -> Term? {
        terms.first { term in
            if let expansion = expansions[term.text] { return expansion.contains(member) }
            do throws(Mistake) {
                return try literal.parse(term.text) == member
            } catch {
                return false
            }
        }
    }

    /// Expands the groups that no rule uses, to report their mistakes, too.
    ///
    /// - Parameter warns: `false`: there may be rules that couldn't be read.
    mutating func finish(warns: Bool, _ findings: inout Findings) {
        let unused = names.filter { groups[$0]?.isUsed == false }
        for name in unused {
            guard let group = groups[name] else { continue }
            _ = expansion(of: name, within: [], at: group.location, &findings)
            if warns { findings.warning("\(kind): no rule uses group \(quoted(name))", at: group.location) }
        }
    }

    private mutating func united(_ terms: [Term], within path: [String], _ findings: inout Findings) -> [Member] {
        // A single group's members are distinct already.
        if terms.count == 1, contains(terms[0].text) {
            return counted(expansion(of: terms[0], within: path, &findings), at: terms[0].location, &findings)
        }
        var seen: Set<Member> = []
        var members: [Member] = []
        seen.reserveCapacity(terms.count)
        members.reserveCapacity(terms.count)
        for term in terms {
            for member in expansion(of: term, within: path, &findings) where seen.insert(member).inserted {
                members.append(member)
            }
        }
        return counted(members, at: terms.first?.location, &findings)
    }

    private mutating func expansion(of term: Term, within path: [String], _ findings: inout Findings) -> [Member] {
        if contains(term.text) { return expansion(of: term.text, within: path, at: term.location, &findings) }
        if findings.hasAllErrors { return [] }
        do throws(Mistake) {
            return [try literal.parse(term.text)]
        } catch {
            findings.error(error, at: term.location)
            return []
        }
    }

    private mutating func expansion(
        of name: String, within path: [String], at location: Location, _ findings: inout Findings
    ) -> [Member] {
        groups[name]?.isUsed = true
        if path.contains(name) {
            let circle = (path.drop { $0 != name } + [name]).map(quoted).joined(separator: " → ")
            findings.error("\(kind): a group contains itself: \(circle)", at: location)
            return []
        }
        if let done = expansions[name] { return done }
        guard path.count < Self.nestingMax else {
            findings.error("\(kind): groups nested deeper than \(Self.nestingMax)", at: location)
            return []
        }
        let members = united(groups[name]?.terms ?? [], within: path + [name], &findings)
        expansions[name] = members
        return members
    }

    private mutating func counted(
        _ members: [Member], at location: Location?, _ findings: inout Findings
    ) -> [Member] {
        let wasWithin = expandedCount <= Self.expandedMax
        expandedCount += members.count
        guard expandedCount > Self.expandedMax else { return members }
        if wasWithin, let location {
            findings.error(
                "\(kind): the groups and rules expand to more than \(Self.expandedMax) members in all", at: location)
        }
        return []
    }
}
