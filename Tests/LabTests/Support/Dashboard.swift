import Foundation
import Testing

/// The dashboard of contrib/grafana, asked of Prometheus as Grafana asks: a query of each target over a span of time,
/// with the dashboard's variables in it.
struct Dashboard: Decodable {
    struct Panel: Decodable {
        var title: String
        /// A row has none.
        var targets: [Target]?
        /// Of a row that is folded.
        var panels: [Panel]?
    }

    struct Target: Decodable, Hashable {
        var refId: String
        var expr: String
        var legendFormat: String
    }

    private struct Templating: Decodable { var list: [Variable] }

    private struct Variable: Decodable {
        var name: String
        /// `label_values(METRIC, LABEL)`; the variable of the data source has none.
        var definition: String?
    }

    private let panels: [Panel]
    private let templating: Templating

    static func contrib() throws -> Dashboard {
        try JSONDecoder().decode(Dashboard.self, from: Data(try Contrib.text("grafana/rpcwarden.json").utf8))
    }

    /// The panels that ask for something, those of folded rows too.
    var askingPanels: [Panel] { panels.flatMap { [$0] + ($0.panels ?? []) }.filter { $0.targets?.isEmpty == false } }

    /// The metrics in the queries.
    var metrics: Set<String> {
        let targets = askingPanels.flatMap { $0.targets ?? [] }
        return Set(targets.flatMap { $0.expr.matches(of: /rpcwarden_\w+/).map { String($0.output) } })
    }

    // MARK: Variables

    /// What Grafana puts in the place of variables, while "All" is chosen.
    ///
    /// - Parameter scrapeInterval: that of the data source's settings, and the span between two points of a plot.
    func variables(_ lab: Lab, scrapeInterval: Int, seconds: Int) throws -> [String: String] {
        var known = [
            "__interval": "\(scrapeInterval)s", "__rate_interval": "\(4 * scrapeInterval)s", "__range": "\(seconds)s",
        ]
        for variable in templating.list {
            guard let definition = variable.definition else { continue }
            let parts = try #require(definition.wholeMatch(of: /label_values\((.+), *(\w+)\)/), "\(definition)").output
            let selector = try Self.concrete(String(parts.1), known)
            let text = try lab.prometheus("label/\(parts.2)/values", [("match[]", selector)])
            let values = try JSONDecoder().decode(LabelValues.self, from: Data(text.utf8)).data
            try #require(!values.isEmpty, "\(variable.name): \(definition) finds nothing")
            known[variable.name] = Self.pattern(values)
        }
        return known
    }

    private struct LabelValues: Decodable { var data: [String] }

    /// As Grafana's Prometheus data source writes the values of a variable with several: a pattern within a string.
    private static func pattern(_ values: [String]) -> String {
        let escaped = values.map { $0.replacing(/[$^*{}\[\]'+?.()|]/) { "\\\\\($0.output)" } }
        return escaped.count == 1 ? escaped[0] : "(\(escaped.joined(separator: "|")))"
    }

    static func concrete(_ text: String, _ variables: [String: String]) throws -> String {
        try text.replacing(/\$\{?(\w+)\}?/) { match in
            try #require(variables[String(match.1)], "unknown variable \(match.0) in \(text)")
        }
    }
}

/// What a target's query finds, over a span of time.
struct DashboardAnswer {
    struct Series: Decodable {
        var metric: [String: String]
        var values: [PrometheusSample]

        var numbers: [Double] { values.compactMap { Double($0.text) }.filter(\.isFinite) }
    }

    private struct Reply: Decodable {
        struct Data: Decodable { var result: [Series] }
        var status: String
        var error: String?
        var data: Data?
    }

    private let target: Dashboard.Target
    private let series: [Series]

    /// - Throws: if the query is an error.
    init(_ lab: Lab, _ target: Dashboard.Target, _ variables: [String: String], since start: Date) throws {
        let query = try Dashboard.concrete(target.expr, variables)
        let span = [("start", start), ("end", Date())].map { ($0, "\($1.timeIntervalSince1970)") }
        let text = try lab.prometheus("query_range", [("query", query)] + span + [("step", "1")])
        let reply = try JSONDecoder().decode(Reply.self, from: Data(text.utf8))
        try #require(reply.status == "success", "\(query): \(reply.error ?? "")")
        self.target = target
        // A query that divides by nothing finds no number.
        series = (reply.data?.result ?? []).filter { !$0.numbers.isEmpty }
    }

    var isEmpty: Bool { series.isEmpty }
    /// There was more than nothing to see at some time.
    var tellsSomething: Bool { series.contains { $0.numbers.contains { $0 > 0 } } }

    /// The text beside each line, and the labels in the format that a line doesn't have.
    var legends: [String] {
        series.map { series in
            target.legendFormat.replacing(/\{\{ *(\w+) *\}\}/) { series.metric[String($0.1)] ?? "{{no \($0.1)}}" }
        }
    }
}
