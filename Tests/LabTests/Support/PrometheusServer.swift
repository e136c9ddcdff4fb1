import Foundation
import Testing

/// The real Prometheus of Debian, in the server; it scrapes each second, by contrib's own configuration and rules.
extension Lab {
    static let metricsPort = 9811

    /// - Parameter nodes: other targets than the server's own, such as `10.77.8.12:9811`.
    func startPrometheus(nodes: [String] = []) async throws {
        let targets = String(decoding: try JSONEncoder().encode([["targets": nodes]]), as: UTF8.self)
        try write(targets, to: "targets.json")
        let scrape = try Contrib.text("prometheus/scrape.yaml")
            .replacing("/etc/prometheus/rpcwarden.json", with: "\(state)/targets.json")
        try write(
            """
            global: {scrape_interval: 1s, evaluation_interval: 1s}
            rule_files: [\(Contrib.folder)/prometheus/rpcwarden.rules.yaml]
            \(scrape)
            """, to: "prometheus.yaml")
        #expect(try exec(.server, "promtool", "check", "config", "\(state)/prometheus.yaml").isSuccess)
        try spawn(
            .server, "prometheus",
            [
                "prometheus", "--config.file=\(state)/prometheus.yaml", "--storage.tsdb.path=\(state)/prometheus",
                "--web.listen-address=127.0.0.1:9090",
            ])
        do {
            try await eventually("Prometheus has scraped", within: .seconds(60)) {
                try query("sum(rpcwarden_table_in_place)") == ["\(1 + nodes.count)"]
            }
        } catch {
            throw Unfulfilled(description: "\(error)\n\(log("prometheus"))")
        }
    }

    func prometheus(_ path: String, _ parameters: [(String, String)] = []) throws -> String {
        let data = parameters.flatMap { ["--data-urlencode", "\($0)=\($1)"] }
        return try exec(
            .server,
            ["curl", "--silent", "--show-error", "--max-time", "10", "--get"] + data
                + ["http://127.0.0.1:9090/api/v1/\(path)"]
        ).text
    }

    /// The values that a query finds now.
    func query(_ query: String) throws -> [String] {
        let text = try prometheus("query", [("query", query)])
        guard let answer = try? JSONDecoder().decode(QueryAnswer.self, from: Data(text.utf8)) else {
            // An empty answer, or a message that it is not ready, means that Prometheus is still starting.
            if text != "", text != "Service Unavailable" { Issue.record("\(query): \(text)") }
            return []
        }
        return answer.data.result.map(\.value.text)
    }
}

private struct QueryAnswer: Decodable {
    struct Data: Decodable { var result: [Row] }
    struct Row: Decodable { var value: PrometheusSample }

    var data: Data
}

/// A sample, such as `[1795000000.1, "1"]`.
struct PrometheusSample: Decodable {
    var text: String

    init(from decoder: any Decoder) throws {
        var values = try decoder.unkeyedContainer()
        _ = try values.decode(Double.self)
        text = try values.decode(String.self)
    }
}
