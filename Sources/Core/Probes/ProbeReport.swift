import Addresses

public enum ProbeExpectation: String, Hashable, Sendable, CaseIterable {
    case open
    case denied
    case silent

    /// The transports that are tried unless one is named. A client takes TCP; a stranger must be kept out of both.
    public var transports: [Transport] {
        switch self {
        case .open, .denied: [.tcp]
        case .silent: [.tcp, .udp]
        }
    }

    fileprivate var verdict: ProbeVerdict {
        switch self {
        case .open: .open
        case .denied: .denied
        case .silent: .silent
        }
    }
}

/// The rows of a probe, compared with what was expected.
public struct ProbeReport: Sendable {
    public enum Outcome: Hashable, Sendable {
        case asExpected
        case unexpected
        /// Nobody answered at all, and somebody should have.
        case unanswered
    }

    public var rows: [ProbeRow]
    public var expectation: ProbeExpectation

    public init(_ rows: [ProbeRow], expecting expectation: ProbeExpectation) {
        (self.rows, self.expectation) = (rows, expectation)
    }

    public var outcome: Outcome {
        if unexpected.isEmpty { return .asExpected }
        return rows.allSatisfy { $0.finding.verdict == .silent } ? .unanswered : .unexpected
    }

    private var unexpected: [ProbeRow] { rows.filter { $0.finding.verdict != expectation.verdict } }

    /// The status line of a plugin, with performance data: the seconds that each open service took.
    ///
    /// Shape: `RPC OK: 4 of 4 services of filer open | 'nfs/tcp'=0.002113s;;;0`.
    /// - Parameter host: as the user named it.
    public func nagiosLine(host: String) -> String {
        let isFine = outcome == .asExpected
        let count = "\(rows.count - unexpected.count) of \(rows.count) services of \(host) \(expectation.rawValue)"
        let details =
            outcome == .unanswered
            ? "nobody answers at port 111"
            : unexpected.map { "\($0.service) \($0.finding.verdict.rawValue)" }.joined(separator: ", ")
        let text = "RPC \(isFine ? "OK" : "CRITICAL"): \(count)" + (isFine ? "" : "; \(details)")
        let figures = rows.filter { $0.finding.verdict == .open }.map { "'\(Self.label($0))'=\($0.seconds)s;;;0" }
        return Self.withoutBars(text) + (figures.isEmpty ? "" : " | " + figures.joined(separator: " "))
    }

    /// The status line of a probe that couldn't be made.
    public static func nagiosLine(unknown reason: String) -> String { "RPC UNKNOWN: " + withoutBars(reason) }

    /// Labels hold neither quotes nor equals signs.
    private static func label(_ row: ProbeRow) -> String {
        String(withoutBars(row.service).map { "'=".contains($0) ? "_" : $0 })
    }

    /// A bar begins the performance data.
    private static func withoutBars(_ text: String) -> String { String(text.map { $0 == "|" ? "!" : $0 }) }
}
