import Activity
import Glibc

/// The terminal, if there is one, that shows what a command prints.
public enum Display {
    /// `false` if the output isn't a terminal, or is one that only prints line after line.
    public static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 && !["", "dumb"].contains(variable("TERM")) }

    /// https://no-color.org
    public static var wantsColours: Bool { variable("NO_COLOR") == "" }

    private static func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }

    /// The size of the terminal at a descriptor; `nil` if there is none, or its width is unknown, as on a serial line.
    public static func size(of descriptor: Int32 = STDOUT_FILENO) -> Screen.Size? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Screen.Size(columns: Int(size.ws_col), rows: size.ws_row > 0 ? Int(size.ws_row) : 24)
    }

    /// Prints lines that ``size(of:)`` was asked for, in colours where the terminal has them.
    public static func show(_ lines: [Line]) {
        let hasColours = isTerminal && wantsColours
        for line in lines { print(hasColours ? line.coloured : line.text) }
    }

    public static func show(_ paragraph: Paragraph, rest: String = "") {
        show(paragraph.lines(columns: size()?.columns, rest: rest))
    }
}

extension Line {
    /// The text with SGR sequences.
    public var coloured: String {
        pieces.map { piece in
            piece.emphasis.code.map { "\u{1b}[\($0)m\(piece.text)\u{1b}[m" } ?? piece.text
        }.joined()
    }
}

extension Line.Emphasis {
    /// SGR parameters (ECMA-48, 8.3.117). The colours are the terminal's own, and can be read on a dark background and on
    /// a light one: yellow, green and faint text can't.
    var code: String? {
        switch self {
        case .plain: nil
        case .strong: "1"
        case .heading: "1;4"
        case .warning: "35"
        case .alarm: "1;31"
        }
    }
}
