/// One line of a screen, in pieces of different emphasis.
public struct Line: Hashable, Sendable {
    public enum Emphasis: Hashable, Sendable {
        case plain, strong, heading, warning, alarm
    }

    public struct Piece: Hashable, Sendable {
        public var text: String
        public var emphasis: Emphasis
    }

    public private(set) var pieces: [Piece] = []
    /// The width in columns.
    public private(set) var width = 0

    public init() {}

    mutating func append(_ text: DisplayText, _ emphasis: Emphasis = .plain) {
        pieces.append(Piece(text: text.description, emphasis: emphasis))
        width += text.width
    }

    mutating func append(spaces count: Int) {
        guard count > 0 else { return }
        append(DisplayText(String(repeating: " ", count: count)))
    }

    /// The same words without emphasis.
    var plain: Line {
        var line = self
        for index in line.pieces.indices { line.pieces[index].emphasis = .plain }
        return line
    }

    /// Without any emphasis, and without spaces at the end.
    public var text: String {
        var text = pieces.map(\.text).joined()
        while text.last == " " { text.removeLast() }
        return text
    }
}

/// Words that belong together: shown whole, or not at all.
struct Field {
    var text: DisplayText
    var emphasis: Line.Emphasis

    init(_ text: DisplayText, _ emphasis: Line.Emphasis = .plain) {
        self.text = text
        self.emphasis = emphasis
    }

    init(_ text: String, _ emphasis: Line.Emphasis = .plain) {
        self.init(DisplayText(text), emphasis)
    }
}

extension Line {
    private static let gap = 3
    /// The width of labels, so that the text behind them is aligned.
    private static let labelColumns = 11

    /// As many of the fields as fit, the first ones first; the very first is cut if necessary.
    init(_ fields: [Field], label: String? = nil, columns: Int) {
        self.init()
        if let label {
            append(DisplayText(label).cut(to: columns), .strong)
            append(spaces: min(Self.labelColumns, columns) - width)
        }
        for (index, field) in fields.enumerated() {
            let gap = index == 0 ? 0 : Self.gap
            let rest = columns - width - gap
            guard field.text.width <= rest || index == 0 else { return }
            append(spaces: gap)
            append(field.text.cut(to: rest), field.emphasis)
        }
    }
}
