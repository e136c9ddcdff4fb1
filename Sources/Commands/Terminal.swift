import Activity
import Console
import Glibc

/// The interactive terminal: while it is open, this process controls the screen, the cursor and the keys.
struct Terminal {
    /// Keys and signals are each reported once.
    enum Event: Hashable {
        case key(UInt8)
        case signal(Int32)
        /// Nothing happened within the requested time.
        case timeout
        /// The terminal is gone.
        case hangup
    }

    private let hasColours: Bool
    private let hasKeys: Bool
    private var original = termios()
    private var signals: SignalPipe

    init() throws {
        hasColours = Display.wantsColours
        hasKeys = isatty(STDIN_FILENO) == 1
        if hasKeys { tcgetattr(STDIN_FILENO, &original) }
        signals = try SignalPipe([SIGWINCH, SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT])
    }

    /// Whether the terminal shows more than ASCII.
    static var isUnicode: Bool {
        setlocale(LC_CTYPE, "") != nil && String(cString: nl_langinfo(Int32(CODESET))) == "UTF-8"
    }

    /// The terminal's size; 80 × 24 if it is unknown, as on a serial line.
    var size: Screen.Size { Display.size() ?? Screen.Size(columns: 80, rows: 24) }

    // MARK: Taking it, and giving it back

    func open() {
        if hasKeys {
            var raw = original
            // ISIG stays set: Ctrl-C, Ctrl-\ and Ctrl-Z send signals, as usual.
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

    /// Applies the signal's default effect to this process; returns if the process was only stopped and continued.
    func yield(to signal: Int32) {
        close()
        signals.withDefault(signal) { _ = raise(signal) }
        open()
    }

    // MARK: Drawing

    /// Draws over the old frame in one write, so that nothing flickers.
    ///
    /// - Returns: whether the terminal took the output.
    @discardableResult
    func draw(_ lines: [Line]) -> Bool {
        // Each line is erased before it is written: after a full line the cursor still is on the last column.
        let text = lines.enumerated().map { index, line in
            (index + 1 < lines.count ? "\u{1b}[K" : "\u{1b}[J") + (hasColours ? line.coloured : line.text)
        }
        return write("\u{1b}[H" + text.joined(separator: "\r\n"))
    }

    @discardableResult
    private func write(_ text: String) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            // A signal interrupts the wait for a blocked terminal; the next frame is drawn completely.
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
