import Policy

/// The problems found so far.
struct Findings {
    /// Limit for each severity: more than anyone reads; a file of garbage must not produce a hundred times as much
    /// output.
    static let diagnosticsMax = 500
    /// Errors that words are suggested for: later ones are of the same kind, and each search reads all words.
    static let suggestionsMax = 20

    private(set) var diagnostics: [Diagnostic] = []
    private var counts: [Diagnostic.Severity: Int] = [:]

    /// Whether no further error is kept, so that the caller can stop looking.
    var hasAllErrors: Bool { counts[.error, default: 0] > Self.diagnosticsMax }

    mutating func error(_ message: String, at location: Location, hint: @autoclosure () -> String? = nil) {
        add(.error, message, at: location, hint: hint)
    }

    mutating func error(_ mistake: Mistake, at location: Location) {
        let isSuggested = counts[.error, default: 0] < Self.suggestionsMax
        add(.error, mistake.message, at: location) {
            (isSuggested ? mistake.suggestion?() : nil) ?? mistake.hint
        }
    }

    mutating func warning(_ message: String, at location: Location, hint: @autoclosure () -> String? = nil) {
        add(.warning, message, at: location, hint: hint)
    }

    mutating func append(_ others: [Diagnostic]) {
        for other in others { add(other.severity, other.message, at: other.location) { other.hint } }
    }

    private mutating func add(
        _ severity: Diagnostic.Severity, _ message: String, at location: Location, hint: () -> String?
    ) {
        let count = counts[severity, default: 0]
        guard count <= Self.diagnosticsMax else { return }
        counts[severity] = count + 1
        if count < Self.diagnosticsMax {
            diagnostics.append(Diagnostic(severity, at: location, message, hint: hint()))
        } else {
            let message = "more than \(Self.diagnosticsMax) \(severity.rawValue)s; the rest is not shown"
            diagnostics.append(Diagnostic(severity, at: location, message))
        }
    }
}

extension Sequence<Diagnostic> {
    public var hasErrors: Bool { contains { $0.severity == .error } }

    /// Sorted by the order of the files, and within a file by position.
    func inReadingOrder(of files: [String]) -> [Diagnostic] {
        let order = Dictionary(files.enumerated().map { ($1, $0) }) { first, _ in first }
        let key = { (location: Location) in (order[location.file] ?? files.count, location.line, location.column) }
        return enumerated().sorted { left, right in
            let (first, second) = (key(left.element.location), key(right.element.location))
            return first != second ? first < second : left.offset < right.offset
        }.map(\.element)
    }
}
