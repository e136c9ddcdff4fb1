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
