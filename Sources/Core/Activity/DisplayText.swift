/// Text that is safe for a terminal: it moves no cursor, changes no colour, and its width is known.
public struct DisplayText: Hashable, Sendable, CustomStringConvertible {
    public private(set) var description: String
    /// The width in columns.
    public private(set) var width: Int

    /// Replaces every invisible character by a question mark.
    ///
    /// - Parameter isUnicode: whether the terminal shows more than ASCII.
    public init(_ text: some StringProtocol, isUnicode: Bool = true) {
        // Nearly all text is such, and listings may have a hundred thousand cells.
        if text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) {
            description = String(text)
            width = description.utf8.count
            return
        }
        description = ""
        width = 0
        for character in text {
            let shown = character.isShowable && (isUnicode || character.isASCII) ? character : "?"
            description.append(shown)
            width += shown.columns
        }
    }

    private init(trusted: String, width: Int) {
        description = trusted
        self.width = width
    }

    /// The beginning of the text, marked as cut, if the whole text is too wide.
    public func cut(to columns: Int) -> DisplayText {
        guard width > columns else { return self }
        guard columns > 0 else { return DisplayText("") }
        var text = ""
        var taken = 0
        for character in description {
            guard taken + character.columns <= columns - 1 else { break }
            text.append(character)
            taken += character.columns
        }
        return DisplayText(trusted: text + "~", width: taken + 1)
    }

    public func padded(to columns: Int) -> String {
        description + String(repeating: " ", count: max(0, columns - width))
    }
}

extension Character {
    fileprivate var isShowable: Bool {
        unicodeScalars.allSatisfy { scalar in
            // The braille pattern without a dot is a symbol that shows nothing.
            guard !scalar.properties.isDefaultIgnorableCodePoint, scalar.value != 0x2800 else { return false }
            switch scalar.properties.generalCategory {
            case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
                return false
            case .nonspacingMark, .spacingMark, .enclosingMark: return unicodeScalars.count > 1
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber,
                .letterNumber, .otherNumber, .connectorPunctuation, .dashPunctuation, .openPunctuation,
                .closePunctuation, .initialPunctuation, .finalPunctuation, .otherPunctuation, .mathSymbol,
                .currencySymbol, .modifierSymbol, .otherSymbol:
                return true
            // Other spaces look like it, or have no width.
            case .spaceSeparator: return scalar == " "
            @unknown default: return false
            }
        }
    }

    fileprivate var columns: Int {
        guard let scalar = unicodeScalars.first else { return 0 }
        return Self.wide.contains { $0.contains(scalar.value) } ? 2 : 1
    }

    /// The characters of two columns: Unicode's East Asian Width W and F, in large pieces (UAX #11).
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115f, 0x2e80...0xa4cf, 0xa960...0xa97c, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f,
        0xff01...0xff60, 0xffe0...0xffe6, 0x1f300...0x1f64f, 0x1f680...0x1f6ff, 0x1f900...0x1f9ff, 0x20000...0x3fffd,
    ]
}
