import Activity

/// Text in HTML. All that comes from outside passes here.
enum HTMLText {
    /// For elements and attributes in quotation marks.
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for character in DisplayText(text).description.unicodeScalars {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            case _: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }
}
