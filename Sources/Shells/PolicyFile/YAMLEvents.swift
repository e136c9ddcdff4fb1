import CYAML

/// An event of libyaml's parser, copied out of its structures.
struct YAMLEvent {
    enum Kind {
        case scalar(text: String, isPlain: Bool)
        case alias
        case sequenceStart, sequenceEnd
        case mappingStart, mappingEnd
        case documentStart, documentEnd
        case streamStart, streamEnd
    }

    var kind: Kind
    /// Counted from 1; columns count characters.
    var line: Int
    var column: Int
    var hasAnchor = false
    var hasTag = false
}

/// A syntax error reported by libyaml.
struct YAMLFault: Error {
    var message: String
    var line: Int
    var column: Int
}

/// libyaml's parser over one buffer.
struct YAMLEvents: ~Copyable {
    // libyaml keeps pointers into both.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let input: UnsafeMutableBufferPointer<UInt8>

    /// - Throws: ``YAMLFault`` if there is no memory.
    init(_ bytes: [UInt8]) throws(YAMLFault) {
        parser = .allocate(capacity: 1)
        input = .allocate(capacity: max(bytes.count, 1))  // libyaml asserts that there is a buffer
        _ = input.initialize(fromContentsOf: bytes)
        guard yaml_parser_initialize(parser) == 1 else {
            parser.deallocate()
            input.deallocate()
            throw YAMLFault(message: "out of memory", line: 1, column: 1)
        }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, input.baseAddress, bytes.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
        input.deallocate()
    }

    /// The next event. After an error, and after `streamEnd`, it must not be called again.
    mutating func next() throws(YAMLFault) -> YAMLEvent {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw fault }
        defer { yaml_event_delete(&event) }
        return Self.copy(of: event)
    }

    private static func copy(of event: yaml_event_t) -> YAMLEvent {
        var copy = YAMLEvent(
            kind: .streamEnd, line: Int(event.start_mark.line) + 1, column: Int(event.start_mark.column) + 1)
        switch event.type {
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            copy.kind = .scalar(
                text: String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self),
                isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE)
            copy.hasAnchor = scalar.anchor != nil
            copy.hasTag = scalar.tag != nil
        case YAML_SEQUENCE_START_EVENT:
            copy.kind = .sequenceStart
            copy.hasAnchor = event.data.sequence_start.anchor != nil
            copy.hasTag = event.data.sequence_start.tag != nil
        case YAML_MAPPING_START_EVENT:
            copy.kind = .mappingStart
            copy.hasAnchor = event.data.mapping_start.anchor != nil
            copy.hasTag = event.data.mapping_start.tag != nil
        case YAML_ALIAS_EVENT: copy.kind = .alias
        case YAML_SEQUENCE_END_EVENT: copy.kind = .sequenceEnd
        case YAML_MAPPING_END_EVENT: copy.kind = .mappingEnd
        case YAML_DOCUMENT_START_EVENT: copy.kind = .documentStart
        case YAML_DOCUMENT_END_EVENT: copy.kind = .documentEnd
        case YAML_STREAM_START_EVENT: copy.kind = .streamStart
        default: copy.kind = .streamEnd
        }
        return copy
    }

    private var fault: YAMLFault {
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "not YAML"
        guard parser.pointee.error != YAML_READER_ERROR else {
            // libyaml's reader fails before it has a position: count lines and columns up to its offset.
            let before = input.prefix(parser.pointee.problem_offset)
            let line = before.count { $0 == UInt8(ascii: "\n") } + 1
            let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
            return YAMLFault(
                message: problem, line: line,
                column: String(decoding: before[lineStart...], as: UTF8.self).unicodeScalars.count + 1)
        }
        let mark = parser.pointee.problem_mark
        var message = problem
        if let context = parser.pointee.context {
            let place = parser.pointee.context_mark
            message = "\(String(cString: context)) (begun at \(place.line + 1):\(place.column + 1)): \(problem)"
        }
        return YAMLFault(message: message, line: Int(mark.line) + 1, column: Int(mark.column) + 1)
    }
}
