import Policy

/// One key of a mapping: how its value is read, and where it is stored. Null leaves the default.
struct Field<Root> {
    let key: String
    let read: (YAMLNode, inout Root, inout Findings) -> Void
    /// `false` for a key that is accepted, but not suggested or listed.
    var isOfUse = true
    /// The keys that differ: this one, or parts of it (`limits.grants`).
    var changes: (Root, Root) -> [String] = { _, _ in [] }

    /// A key with one value.
    static func value<Value: Equatable>(_ key: String, _ path: WritableKeyPath<Root, Value>, _ syntax: Syntax<Value>)
        -> Self
    {
        Self(key: key) { node, root, findings in
            guard !node.isNull else { return }
            if let value = node.parsed(by: syntax, key, &findings) { root[keyPath: path] = value }
        }.comparing(path)
    }

    /// A key with one optional value.
    static func optional<Value: Equatable>(
        _ key: String, _ path: WritableKeyPath<Root, Value?>, _ syntax: Syntax<Value>
    ) -> Self {
        Self(key: key) { node, root, findings in
            guard !node.isNull else { return }
            if let value = node.parsed(by: syntax, key, &findings) { root[keyPath: path] = value }
        }.comparing(path)
    }

    /// A key with a list; a single value counts as a list of one.
    static func list<Item: Hashable>(
        _ key: String, _ path: WritableKeyPath<Root, [Item]>, _ syntax: Syntax<Item>, isNeeded: Bool = false
    ) -> Self {
        Self(key: key) { node, root, findings in
            guard !node.isNull else { return }
            let errorsBefore = findings.diagnostics.count
            let items = node.parsedItems(by: syntax, key, &findings)
            if isNeeded, items.isEmpty, findings.diagnostics.count == errorsBefore {
                findings.error(
                    "\(key): the list is empty", at: node.location, hint: "leave the key out for the default")
            }
            root[keyPath: path] = items
        }.comparing(path)
    }

    /// A key of an earlier version: it is ignored, with a warning.
    static func withoutUse(_ key: String, _ why: String) -> Self {
        Self(
            key: key,
            read: { node, _, findings in
                findings.warning("\(key): no longer used: \(why)", at: node.location, hint: "leave the key out")
            }, isOfUse: false)
    }

    /// A key with two values, which differ.
    static func pair<Item: Hashable>(
        _ key: String, _ path: WritableKeyPath<Root, [Item]>, _ syntax: Syntax<Item>
    ) -> Self {
        Self(key: key) { node, root, findings in
            guard !node.isNull else { return }
            let errorsBefore = findings.diagnostics.count
            let items = node.parsedItems(by: syntax, key, &findings)
            guard findings.diagnostics.count == errorsBefore else { return }
            guard items.count == 2 else {
                return findings.error("\(key): expected two values, found \(items.count)", at: node.location)
            }
            root[keyPath: path] = items
        }.comparing(path)
    }

    /// A key with a list of mappings.
    /// - Parameter needed: the keys that each of them must have.
    static func sections<Part: Equatable>(
        _ key: String, _ path: WritableKeyPath<Root, [Part]>, _ empty: Part, _ fields: [Field<Part>], needed: [String]
    ) -> Self {
        Self(key: key) { node, root, findings in
            guard !node.isNull else { return }
            guard case .sequence(let items) = node.content else {
                return findings.error(
                    "\(key): expected a list, found \(node.kind)", at: node.location, hint: "write \"- name: …\"")
            }
            root[keyPath: path] = items.map { item in
                var part = empty
                fields.read(item, key, into: &part, &findings)
                for key in needed where item.isMapping && item.value(at: key)?.isNull ?? true {
                    findings.error("\(quoted(key)) is missing", at: item.location)
                }
                return part
            }
        }.comparing(path)
    }

    /// A key with a mapping.
    static func section<Part>(_ key: String, _ path: WritableKeyPath<Root, Part>, _ fields: [Field<Part>]) -> Self {
        Self(key: key) { node, root, findings in
            guard !node.isNull else { return }
            fields.read(node, key, into: &root[keyPath: path], &findings)
        }.comparing { fields.changes(from: $0[keyPath: path], to: $1[keyPath: path]) }
    }

    /// The field, which tells whether this value differs.
    func comparing<Value: Equatable>(_ path: KeyPath<Root, Value>) -> Self {
        var field = self
        let key = key
        field.changes = { $0[keyPath: path] == $1[keyPath: path] ? [] : [key] }
        return field
    }

    /// The field of a mapping that may be missing, which tells the keys in it that differ.
    func comparing<Part>(_ path: KeyPath<Root, Part?>, _ fields: [Field<Part>]) -> Self {
        comparing { old, new in
            switch (old[keyPath: path], new[keyPath: path]) {
            case (let old?, let new?): fields.changes(from: old, to: new)
            case (nil, nil): []
            case (nil, _), (_, nil): nil
            }
        }
    }

    /// - Parameter parts: the keys in this one's mapping that differ; `nil`: the whole does.
    private func comparing(_ parts: @escaping (Root, Root) -> [String]?) -> Self {
        var field = self
        let key = key
        field.changes = { parts($0, $1)?.map { "\(key).\($0)" } ?? [key] }
        return field
    }
}

extension Array {
    /// The keys whose values differ, in the order of the fields.
    func changes<Root>(from old: Root, to new: Root) -> [String] where Element == Field<Root> {
        flatMap { $0.changes(old, new) }
    }

    /// Reads a mapping; keys without a field are errors. Keys in `elsewhere` get a message with their right place.
    func read<Root>(
        _ node: YAMLNode, _ name: String, into root: inout Root, _ findings: inout Findings,
        elsewhere: (keys: [String], message: String)? = nil
    ) where Element == Field<Root> {
        guard case .mapping(let entries) = node.content else {
            findings.error("\(name): expected a mapping, found \(node.kind)", at: node.location)
            return
        }
        for entry in entries {
            if let field = first(where: { $0.key == entry.key }) {
                field.read(entry.value, &root, &findings)
            } else if let elsewhere, elsewhere.keys.contains(entry.key) {
                findings.error("\(quoted(entry.key)) \(elsewhere.message)", at: entry.keyLocation)
            } else {
                findings.unknownKey(entry, among: filter(\.isOfUse).map(\.key))
            }
        }
    }
}

extension Findings {
    mutating func unknownKey(_ entry: YAMLNode.Entry, among keys: [String]) {
        error(
            "unknown key \(quoted(entry.key))", at: entry.keyLocation,
            hint: Suggestion.forWord(entry.key, among: keys) ?? "known keys: \(keys.joined(separator: ", "))")
    }
}

extension YAMLNode {
    /// The value of a scalar; `nil` after a mistake, which is recorded.
    func parsed<Value>(by syntax: Syntax<Value>, _ key: String, _ findings: inout Findings) -> Value? {
        guard case .scalar(let scalar) = content else {
            findings.error("\(key): expected one value, found \(kind)", at: location)
            return nil
        }
        do throws(Mistake) {
            return try syntax.parse(scalar.text)
        } catch {
            findings.error("\(key): \(error.message)", at: location, hint: error.hint)
            return nil
        }
    }

    /// The items without mistakes; a repeated item is a mistake.
    func parsedItems<Item: Hashable>(by syntax: Syntax<Item>, _ key: String, _ findings: inout Findings) -> [Item] {
        guard let nodes = items else {
            findings.error("\(key): expected a list, found \(kind)", at: location)
            return []
        }
        let itemsMax = 1024  // each is compared with the others
        guard nodes.count <= itemsMax else {
            findings.error("\(key): more than \(itemsMax) items in one list", at: location)
            return []
        }
        var seen: Set<Item> = []
        return nodes.compactMap { node in
            guard !node.isNull else {
                findings.error(
                    "\(key): expected a value, found nothing", at: node.location,
                    hint: "leave the item out, or write it in quotes")
                return nil
            }
            guard let item = node.parsed(by: syntax, key, &findings) else { return nil }
            guard seen.insert(item).inserted else {
                findings.error("\(key): \(node.kind) is listed twice", at: node.location)
                return nil
            }
            return item
        }
    }
}
