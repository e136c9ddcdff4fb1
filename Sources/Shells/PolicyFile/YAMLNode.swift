import Policy

/// A node of a YAML document. Scalars are text: the key's reader interprets them, never YAML's type rules.
struct YAMLNode: Hashable, Sendable {
    struct Scalar: Hashable, Sendable {
        var text: String
        /// Whether it was written without quotes, and not as a block.
        var isPlain: Bool
    }

    struct Entry: Hashable, Sendable {
        var key: String
        var keyLocation: Location
        var value: YAMLNode
    }

    enum Content: Hashable, Sendable {
        case scalar(Scalar)
        case sequence([YAMLNode])
        /// In the file's order; no key occurs twice.
        case mapping([Entry])
    }

    var content: Content
    var location: Location

    /// Nothing, or `~` or `null` without quotes: the same as leaving the key out.
    var isNull: Bool {
        switch content {
        case .scalar(let scalar): scalar.isPlain && ["", "~", "null", "Null", "NULL"].contains(scalar.text)
        case .sequence, .mapping: false
        }
    }

    var isMapping: Bool {
        if case .mapping = content { true } else { false }
    }

    /// A description of the node, for "expected …, found …".
    var kind: String {
        if isNull { return "nothing" }
        return switch content {
        case .scalar(let scalar): quoted(scalar.text)
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }

    /// The node at the end of a path of keys.
    func value(at path: String...) -> YAMLNode? {
        var node = self
        for key in path {
            guard case .mapping(let entries) = node.content, let entry = entries.first(where: { $0.key == key }) else {
                return nil
            }
            node = entry.value
        }
        return node
    }

    /// A list's items; a single value counts as a list of one; `nil` for a mapping.
    var items: [YAMLNode]? {
        switch content {
        case .scalar: isNull ? [] : [self]
        case .sequence(let items): items
        case .mapping: nil
        }
    }
}
