import Foundation

/// The growth of a quantity: a picture with several panels side by side.
struct Plot: Codable {
    struct Line: Codable {
        var name: String
        var points: [[Double]]
    }

    struct Panel: Codable {
        var title: String
        var unit: Unit
        var lines: [Line]
    }

    /// The name of the file: docs/plots/NAME.svg.
    var name: String
    var axis: String
    var panels: [Panel]

    var svg: String {
        let size = PanelDrawing.size
        let drawn = panels.enumerated().map { index, panel in
            "<g transform=\"translate(\(index * Int(size.width)), 0)\">\n"
                + PanelDrawing(panel, axis: axis).svg + "</g>\n"
        }
        let width = panels.count * Int(size.width)
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(Int(size.height))" width="\(width)" \
            font-family="sans-serif" font-size="11">
            <rect width="100%" height="100%" fill="#fff"/>
            \(drawn.joined())</svg>

            """
    }
}

/// One panel: the x axis is logarithmic, the y axis begins at 0.
struct PanelDrawing {
    static let size = (width: 340.0, height: 240.0)
    private static let colours = ["#0b62a4", "#d9480f", "#2b8a3e"]
    private static let (left, right, top, bottom) = (62.0, 14.0, 40.0, 40.0)

    private let panel: Plot.Panel
    private let axis: String
    private let (xMin, xMax, yMax): (Double, Double, Double)

    init(_ panel: Plot.Panel, axis: String) {
        (self.panel, self.axis) = (panel, axis)
        let points = panel.lines.flatMap(\.points)
        let xs = points.map { log10($0[0]) }
        (xMin, xMax) = (xs.min() ?? 0, max(xs.max() ?? 1, (xs.min() ?? 0) + 0.1))
        yMax = Self.round(up: points.map { $0[1] }.max() ?? 1)
    }

    /// Rounds up to 1, 2, 2.5 or 5 times a power of ten.
    private static func round(up value: Double) -> Double {
        let power = pow(10, floor(log10(max(value, 1e-9))))
        return ([1, 2, 2.5, 5, 10].first { $0 * power >= value } ?? 10) * power
    }

    private func x(_ value: Double) -> Double {
        Self.left + (log10(value) - xMin) / (xMax - xMin) * (Self.size.width - Self.left - Self.right)
    }

    private func y(_ value: Double) -> Double {
        Self.size.height - Self.bottom - value / yMax * (Self.size.height - Self.top - Self.bottom)
    }

    var svg: String {
        ([text(Self.left, 16, panel.title, "start", " font-weight=\"bold\"")] + grid + panel.lines.indices.flatMap(line))
            .joined(separator: "\n") + "\n"
    }

    private func text(_ x: Double, _ y: Double, _ text: String, _ anchor: String, _ more: String = "") -> String {
        "<text x=\"\(number(x))\" y=\"\(number(y))\" text-anchor=\"\(anchor)\"\(more)>\(text)</text>"
    }

    private func number(_ value: Double) -> String { String(format: "%.1f", value) }

    private var grid: [String] {
        let (x0, x1) = (number(Self.left), number(Self.size.width - Self.right))
        var drawn = [0, 0.25, 0.5, 0.75, 1].flatMap { part in
            let height = number(y(part * yMax))
            return [
                "<path d=\"M\(x0) \(height)H\(x1)\" stroke=\"#ddd\"/>",
                text(Self.left - 5, y(part * yMax) + 4, panel.unit.text(part * yMax), "end"),
            ]
        }
        let measured = Set(panel.lines.flatMap(\.points).map { $0[0] }).sorted()
        drawn += measured.map { text(x($0), y(0) + 15, Unit.count.text($0), "middle") }
        drawn.append(text((Self.left + Self.size.width - Self.right) / 2, Self.size.height - 6, axis, "middle"))
        return drawn
    }

    private func line(_ index: Int) -> [String] {
        let (line, colour) = (panel.lines[index], Self.colours[index % Self.colours.count])
        let places = line.points.map { "\(number(x($0[0]))) \(number(y($0[1])))" }
        let dots = line.points.map {
            "<circle cx=\"\(number(x($0[0])))\" cy=\"\(number(y($0[1])))\" r=\"2.5\" fill=\"\(colour)\"/>"
        }
        let name = text(
            Self.left + Double(index) * 90, 32, line.name, "start", " fill=\"\(colour)\"")
        return [
            "<path d=\"M\(places.joined(separator: "L"))\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.5\"/>"
        ]
            + dots + (panel.lines.count > 1 ? [name] : [])
    }
}
