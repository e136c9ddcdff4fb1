import Foundation
import Testing

/// Grafana shows what it is given; `DashboardTests` in the lab ask the queries.
@Suite("the dashboard's file") struct DashboardFileTests {
    private struct Dashboard: Decodable { var panels: [Panel] }

    private struct Panel: Decodable {
        struct Place: Decodable { var x, y, w, h: Int }
        struct Target: Decodable {
            var expr: String
            var datasource: [String: String]
        }
        var id: Int
        var title: String
        var type: String
        var collapsed: Bool?
        var gridPos: Place
        var targets: [Target]?
        var panels: [Panel]?
    }

    private let panels: [Panel]

    init() throws {
        let data = Data(try Repository.text("contrib/grafana/rpcwarden.json").utf8)
        panels = try JSONDecoder().decode(Dashboard.self, from: data).panels
    }

    private var all: [Panel] { panels.flatMap { [$0] + ($0.panels ?? []) } }

    @Test("each panel has a number and a title of its own")
    func names() {
        #expect(Set(all.map(\.id)).count == all.count && all.count > 25)
        #expect(Set(all.map(\.title)).count == all.count)
    }

    @Test("no panel lies over another, nor beyond the width of 24")
    func places() {
        // A folded row's panels are placed as if no other row were open.
        for group in [panels] + panels.map({ $0.panels ?? [] }) {
            for (index, panel) in group.enumerated() {
                let place = panel.gridPos
                #expect(place.x >= 0 && place.x + place.w <= 24, "\(panel.title)")
                for other in group[..<index] {
                    let (a, b) = (place, other.gridPos)
                    let isApart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y
                    #expect(isApart, "\(panel.title) and \(other.title)")
                }
            }
        }
    }

    @Test("each query is about the job and the servers that were chosen, in the data source that was")
    func filters() {
        for panel in all where panel.type != "row" {
            #expect(panel.targets?.isEmpty == false, "\(panel.title)")
            for target in panel.targets ?? [] {
                let expression = target.expr
                let metrics = expression.matches(of: /\b(?:rpcwarden_\w+|up)\b/).count
                let filters = expression.matches(of: /(?:rpcwarden_\w+|up)\{job=~"\$job",instance=~"\$instance"/).count
                #expect(metrics == filters && metrics > 0, "\(panel.title): \(expression)")
                #expect(target.datasource == ["type": "prometheus", "uid": "${datasource}"], "\(panel.title)")
            }
        }
    }

    @Test("panels that have no data on most hosts are in folded rows")
    func rows() {
        let folded = panels.filter { $0.collapsed == true }.flatMap { $0.panels ?? [] }
        for panel in all where (panel.targets ?? []).contains(where: { $0.expr.contains(/rpcwarden_(fleet|server)_/) })
        {
            #expect(folded.contains { $0.id == panel.id }, "\(panel.title)")
        }
    }
}
