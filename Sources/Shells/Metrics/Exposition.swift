/// The two text formats of metrics (prometheus.io/docs/instrumenting/exposition_formats, OpenMetrics 1.0.0).
public enum Exposition: Hashable, Sendable {
    case prometheus
    case openMetrics

    var contentType: String {
        switch self {
        case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// OpenMetrics, if it is accepted by name, with at least the quality of plain text.
    /// - Parameter accepted: the media ranges of the Accept fields, each with its parameters.
    init(accepted: [some StringProtocol]) {
        var openMetrics = 0.0
        var plain = 0.0
        for range in accepted {
            let parts = range.split(separator: ";").map { String($0.filter { $0 != " " && $0 != "\t" }).lowercased() }
            let weight = parts.first { $0.hasPrefix("q=") }.map { Double($0.dropFirst(2)) ?? 0 } ?? 1
            let version = parts.first { $0.hasPrefix("version=") }
            switch parts.first {
            case "application/openmetrics-text" where version == nil || version == "version=1.0.0":
                openMetrics = max(openMetrics, weight)
            case "text/plain": plain = max(plain, weight)
            default: break
            }
        }
        self = openMetrics > 0 && openMetrics >= plain ? .openMetrics : .prometheus
    }

    static let prefix = "rpcwarden_"

    public func text(_ snapshot: MetricsSnapshot) -> [UInt8] { text(snapshot.families) }

    func text(_ families: [MetricFamily]) -> [UInt8] {
        var text = ""
        text.reserveCapacity(16 << 10)
        for family in families { append(family, to: &text) }
        if self == .openMetrics { text += "# EOF\n" }
        return Array(text.utf8)
    }

    private func append(_ family: MetricFamily, to text: inout String) {
        let name = Self.prefix + family.name
        let sampleName = family.kind == .counter ? name + "_total" : name
        // The older format names a counter like its samples.
        let title = self == .openMetrics ? name : sampleName
        text += "# HELP \(title) \(escape(family.help, quotes: self == .openMetrics))\n"
        text += "# TYPE \(title) \(family.kind.rawValue)\n"
        if self == .openMetrics, let unit = family.unit { text += "# UNIT \(title) \(unit)\n" }
        for sample in family.samples {
            text += sampleName + sample.suffix
            append(sample.labels, to: &text)
            switch sample.value {
            case .count(let count): text += " \(count)\n"
            case .seconds(let seconds): text += " \(seconds)\n"
            }
        }
    }

    private func append(_ labels: [(name: String, value: String)], to text: inout String) {
        guard !labels.isEmpty else { return }
        for (index, label) in labels.enumerated() {
            text += index == 0 ? "{" : ","
            text += "\(label.name)=\"\(escape(label.value, quotes: true))\""
        }
        text += "}"
    }

    private func escape(_ text: String, quotes: Bool) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\"" where quotes: escaped += "\\\""
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
