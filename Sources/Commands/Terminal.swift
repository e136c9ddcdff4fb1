import Activity
import Glibc

/// The terminal that a person watches: while it is open, the screen, the cursor and the keys are ours.
struct Terminal {
    /// Pressed, or sent by others; each shows up once.
    enum Event: Hashable {
        case key(UInt8)
        case signal(Int32)
        /// Nothing happened for as long as was asked.
        case timeout
        /// Nobody is there any more.
        case hangup
    }

    private let hasColours: Bool
    private let hasKeys: Bool
    private var original = termios()
    private var signals: SignalPipe

    /// Output that isn't for a person, or for a terminal that only prints line after line, is not drawn on.
    static var isThere: Bool { isatty(STDOUT_FILENO) == 1 && !["", "dumb"].contains(variable("TERM")) }

    /// https://no-color.org
    static var wantsColours: Bool { variable("NO_COLOR") == "" }

    private static func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }

    init() throws {
        hasColours = Self.wantsColours
        hasKeys = isatty(STDIN_FILENO) == 1
        if hasKeys { tcgetattr(STDIN_FILENO, &original) }
        signals = try SignalPipe([SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT])
    }

    /// Whether it shows more than ASCII.
    static var isUnicode: Bool {
        setlocale(LC_CTYPE, "") != nil && String(cString: nl_langinfo(Int32(CODESET))) == "UTF-8"
    }

    /// A terminal that doesn't know its size, as a serial line, has the classic one.
    var size: Screen.Size {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return Screen.Size(columns: 80, rows: 24)
        }
        return Screen.Size(columns: Int(size.ws_col), rows: Int(size.ws_row))
    }

    // MARK: Taking it, and giving it back

    func open() {
        if hasKeys {
            var raw = original
            // ISIG stays: Ctrl-C and Ctrl-Z are signals, as everywhere.
            raw.c_lflag &= ~tcflag_t(ICANON | ECHO)
            raw.c_iflag &= ~tcflag_t(IXON)
            tcsetattr(STDIN_FILENO, TCSANOW, &raw)
        }
        write("\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l")
    }

    func close() {
        write("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l")
        var original = original
        if hasKeys { tcsetattr(STDIN_FILENO, TCSANOW, &original) }
    }

    /// Does to this process what the signal does to those that don't catch it; returns if it was only stopped.
    func yield(to signal: Int32) {
        close()
        signals.withDefault(signal) { _ = raise(signal) }
        open()
    }

    // MARK: Drawing

    /// In one write, over what is there: nothing flickers.
    ///
    /// - Returns: whether the terminal took it.
    @discardableResult
    func draw(_ lines: [Line]) -> Bool {
        // What is erased is erased before a line is written: behind a full line the cursor stands on its last column.
        let text = lines.enumerated().map { index, line in
            (index + 1 < lines.count ? "\u{1b}[K" : "\u{1b}[J") + coloured(line)
        }
        return write("\u{1b}[H" + text.joined(separator: "\r\n"))
    }

    private func coloured(_ line: Line) -> String {
        guard hasColours else { return line.text }
        return line.pieces.map { piece in
            piece.emphasis.code.map { "\u{1b}[\($0)m\(piece.text)\u{1b}[m" } ?? piece.text
        }.joined()
    }

    @discardableResult
    private func write(_ text: String) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            // A signal ends the waiting for a terminal that takes nothing; the next frame is whole again.
            guard count > 0 else { return count < 0 && errno == EINTR }
            rest = rest.dropFirst(count)
        }
        return true
    }

    // MARK: Waiting

    func wait(_ time: Duration) -> Event {
        if let signal = signals.next() { return .signal(signal) }
        var descriptors = [pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0)]
        if hasKeys { descriptors.append(pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)) }
        let milliseconds = time.components.seconds * 1000 + time.components.attoseconds / 1_000_000_000_000_000
        let count = poll(&descriptors, nfds_t(descriptors.count), Int32(clamping: max(0, milliseconds)))
        if let signal = signals.next() { return .signal(signal) }
        guard count > 0, hasKeys else { return .timeout }
        var key: UInt8 = 0
        return read(STDIN_FILENO, &key, 1) == 1 ? .key(key) : .hangup
    }
}

extension Line.Emphasis {
    /// SGR parameters (ECMA-48, 8.3.117); the terminal's own colours, so that they fit its background.
    fileprivate var code: String? {
        switch self {
        case .plain: nil
        case .strong: "1"
        case .heading: "1;4"
        case .good: "32"
        case .warning: "33"
        case .alarm: "1;31"
        case .dim: "2"
        }
    }
}
