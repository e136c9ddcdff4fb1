import Activity
import Clock

/// Writes a JSON document member by member; members and elements near the root each begin a line.
struct JSONText {
    private(set) var text = ""
    /// How many members or elements each open container has so far.
    private var counts: [Int] = []

    private static let linesDepthMax = 2

    private mutating func separate() {
        let depth = counts.count
        guard depth > 0 else { return }
        if counts[depth - 1] > 0 { text += depth <= Self.linesDepthMax ? "," : ", " }
        if depth <= Self.linesDepthMax { addLine(depth) }
        counts[depth - 1] += 1
    }

    private mutating func addLine(_ depth: Int) {
        text += "\n"
        for _ in 0..<depth { text += "  " }
    }

    private mutating func begin(_ name: String?) {
        separate()
        guard let name else { return }
        write(name)
        text += ": "
    }

    private mutating func contain(_ start: String, _ end: String, _ name: String?, _ body: (inout Self) -> Void) {
        begin(name)
        text += start
        counts.append(0)
        body(&self)
        let depth = counts.count - 1
        if counts.removeLast() > 0, depth < Self.linesDepthMax { addLine(depth) }
        text += end
    }

    mutating func object(_ name: String? = nil, _ body: (inout Self) -> Void) { contain("{", "}", name, body) }
    mutating func list(_ name: String, _ body: (inout Self) -> Void) { contain("[", "]", name, body) }

    mutating func texts(_ name: String, _ texts: [String]) {
        list(name) { list in for text in texts { list.add(nil, text) } }
    }

    mutating func add(_ name: String?, _ value: String?) {
        begin(name)
        if let value { write(value) } else { text += "null" }
    }

    mutating func add(_ name: String, _ number: Int?) {
        begin(name)
        text += number.map { String($0) } ?? "null"
    }

    mutating func add(_ name: String, _ time: Timestamp?) { add(name, time.map { "\($0)" }) }

    mutating func add(_ name: String, _ flag: Bool) { addPlain(name, flag ? "true" : "false") }

    /// A number that is written already, or `null`.
    mutating func addPlain(_ name: String?, _ value: String) {
        begin(name)
        text += value
    }

    /// No character that a terminal or a browser would interpret is left, not even escaped.
    private mutating func write(_ value: String) {
        text += "\""
        for character in DisplayText(value).description.unicodeScalars {
            if character == "\"" || character == "\\" { text += "\\" }
            text.unicodeScalars.append(character)
        }
        text += "\""
    }
}
