import Policy

/// Builds the tree of a file's only document.
///
///     start ─▶ document ─▶ node… ─▶ end
///                            └─ anything unusual: recorded; if no value is left, the end
struct YAMLDocument: ~Copyable {
    /// rpcwarden's own files need five levels.
    static let depthMax = 16
    /// Enough for a policy of a hundred thousand prefixes.
    static let nodesMax = 250_000

    private var events: YAMLEvents
    private let file: String
    private var nodes = 0
    private var findings = Findings()

    /// The document's root; `nil` if it is empty, or was refused as a whole.
    static func root(of source: SourceFile, _ findings: inout Findings) -> YAMLNode? {
        guard source.bytes.count <= SourceFile.bytesMax else {
            findings.error(
                "the file is longer than \(SourceFile.bytesMax >> 20) MiB",
                at: Location(file: source.path, line: 1, column: 1))
            return nil
        }
        do throws(YAMLFault) {
            var document = YAMLDocument(events: try YAMLEvents(source.bytes), file: source.path)
            let root = document.read(source.bytes)
            findings.append(document.findings.diagnostics)
            return root
        } catch {
            findings.error("not YAML: \(error.message)", at: Location(file: source.path, line: 1, column: 1))
            return nil
        }
    }

    private init(events: consuming YAMLEvents, file: String) {
        self.events = events
        self.file = file
    }

    private mutating func read(_ bytes: [UInt8]) -> YAMLNode? {
        do throws(YAMLFault) {
            _ = try events.next()  // stream start
            guard case .documentStart = try events.next().kind else { return nil }
            let root = try node(from: try events.next(), depth: 1)
            _ = try events.next()  // document end
            let after = try events.next()
            if case .documentStart = after.kind {
                findings.error(
                    "a second document", at: location(after.line, after.column), hint: "one file holds one document")
            }
            return root.isNull ? nil : root
        } catch {
            findings.error(
                error.message, at: location(error.line, error.column), hint: Self.hint(for: error, in: bytes))
            return nil
        }
    }

    /// The likely cause of libyaml's message in rpcwarden's files.
    private static func hint(for fault: YAMLFault, in bytes: [UInt8]) -> String? {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: fault.line, omittingEmptySubsequences: false)
        let line = lines.dropFirst(fault.line - 1).first ?? []
        if String(decoding: line, as: UTF8.self).contains("::") { return "write IPv6 in quotes" }
        if fault.message.contains("tab character") { return "indent with spaces" }
        if fault.message.hasSuffix("cannot start any token") { return "write it in quotes" }
        return nil
    }

    private mutating func node(from event: YAMLEvent, depth: Int) throws(YAMLFault) -> YAMLNode {
        let place = location(event.line, event.column)
        nodes += 1
        guard nodes <= Self.nodesMax else { throw fault("more than \(Self.nodesMax) values in one file", event) }
        guard depth <= Self.depthMax else { throw fault("nested deeper than \(Self.depthMax) levels", event) }
        if event.hasAnchor { findings.error("anchors (&) are not supported", at: place, hint: "write the value out") }
        if event.hasTag { findings.error("tags (!) are not supported", at: place, hint: "leave the tag out") }
        switch event.kind {
        case .scalar(let text, let isPlain):
            return YAMLNode(content: .scalar(YAMLNode.Scalar(text: text, isPlain: isPlain)), location: place)
        case .sequenceStart:
            return YAMLNode(content: .sequence(try sequence(depth: depth)), location: place)
        case .mappingStart:
            return YAMLNode(content: .mapping(try mapping(depth: depth)), location: place)
        case .alias:
            throw fault("aliases (*) are not supported; write the value out, or put \"*…\" in quotes", event)
        case .sequenceEnd, .mappingEnd, .documentStart, .documentEnd, .streamStart, .streamEnd:
            throw fault("a value is missing", event)
        }
    }

    private mutating func sequence(depth: Int) throws(YAMLFault) -> [YAMLNode] {
        var items: [YAMLNode] = []
        while true {
            let event = try events.next()
            if case .sequenceEnd = event.kind { return items }
            items.append(try node(from: event, depth: depth + 1))
        }
    }

    private mutating func mapping(depth: Int) throws(YAMLFault) -> [YAMLNode.Entry] {
        var entries: [YAMLNode.Entry] = []
        var places: [String: Location] = [:]
        while true {
            let event = try events.next()
            if case .mappingEnd = event.kind { return entries }
            let key = try node(from: event, depth: depth + 1)
            let value = try node(from: try events.next(), depth: depth + 1)
            guard case .scalar(let scalar) = key.content else {
                findings.error("a key must be a word, not \(key.kind)", at: key.location)
                continue
            }
            if let first = places[scalar.text] {
                findings.error(
                    "duplicate key \(quoted(scalar.text))", at: key.location, hint: "the first is at \(first)")
                continue
            }
            places[scalar.text] = key.location
            entries.append(YAMLNode.Entry(key: scalar.text, keyLocation: key.location, value: value))
        }
    }

    private func location(_ line: Int, _ column: Int) -> Location {
        Location(file: file, line: line, column: column)
    }

    private func fault(_ message: String, _ event: YAMLEvent) -> YAMLFault {
        YAMLFault(message: message, line: event.line, column: event.column)
    }
}
