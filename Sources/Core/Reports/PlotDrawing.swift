/// Plots as SVG. Colours and sizes of text are the page's style.
enum PlotDrawing {
    private static let width = 640
    private static let (left, right, top, bottom) = (56, 8, 14, 40)
    private static let columnsMax = 96

    static func svg(_ plot: Plot, name: String) -> String {
        switch plot {
        case .bars(let title, let bars, let others): return horizontal(title, bars, others: others, name)
        case .columns(let title, let times, let series): return columns(title, times, series, name)
        case .level(let title, let times, let values): return level(title, times, values, name)
        }
    }

    /// The title, and how long a step is.
    static func caption(_ plot: Plot) -> String {
        switch plot {
        case .bars(let title, _, _): title
        case .columns(let title, let times, _): "\(title); one column is \(times.steps(max: columnsMax).unitWithNumber)"
        case .level(let title, let times, _):
            "\(title) at the end of each step; one step is \(times.steps(max: columnsMax).unitWithNumber)"
        }
    }

    /// Names of the series, each with its colour; empty if there is only one.
    static func legend(_ plot: Plot) -> [String] {
        guard case .columns(_, _, let series) = plot, series.count > 1 else { return [] }
        return series.map(\.name)
    }

    private static func frame(_ title: String, _ description: String, _ name: String, height: Int, _ body: String)
        -> String
    {
        """
        <svg viewBox="0 0 \(width) \(height)" role="img" aria-labelledby="\(name)-title \(name)-desc">\
        <title id="\(name)-title">\(HTMLText.escaped(title))</title>\
        <desc id="\(name)-desc">\(HTMLText.escaped(description))</desc>\(body)</svg>
        """
    }

    private static func text(_ x: Int, _ y: Int, _ anchor: String, _ text: String, style: String = "") -> String {
        "<text x=\"\(x)\" y=\"\(y)\" text-anchor=\"\(anchor)\"\(style)>\(HTMLText.escaped(text))</text>"
    }

    private static func rectangle(
        _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ series: Int, _ title: String
    ) -> String {
        "<rect class=\"s\(series)\" x=\"\(decimal(x))\" y=\"\(decimal(y))\" width=\"\(decimal(width))\" "
            + "height=\"\(decimal(height))\"><title>\(HTMLText.escaped(title))</title></rect>"
    }

    /// With one decimal, without an exponent.
    private static func decimal(_ number: Double) -> String {
        let tenths = Int((number * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }

    // MARK: By client

    /// Room for a label in the larger letters of narrow screens.
    private static let rowHeight = 48

    private static func horizontal(_ title: String, _ bars: [Plot.Bar], others: Int, _ name: String) -> String {
        let all = bars + (others > 0 ? [Plot.Bar(label: "all others", value: others)] : [])
        let longest = Double(max(1, all.map(\.value).max() ?? 1))
        var body = ""
        for (index, bar) in all.enumerated() {
            let y = index * rowHeight
            let isOthers = others > 0 && index + 1 == all.count
            body += text(0, y + 20, "start", bar.label) + text(width, y + 20, "end", grouped(bar.value))
            let length = max(1, Double(bar.value) / longest * Double(width))
            body += rectangle(0, Double(y + 28), length, 8, isOthers ? 5 : 0, "\(bar.label): \(grouped(bar.value))")
        }
        let top = all.first.map { "The most are of \($0.label): \(grouped($0.value))." } ?? ""
        return frame(title, top, name, height: all.count * rowHeight, body)
    }

    // MARK: By time

    private static let height = 240
    private static var plotHeight: Int { height - top - bottom }
    private static var plotWidth: Int { width - left - right }

    /// The axis of a plot by time: its highest value, and the lines and texts.
    private struct Axis {
        var highest: Int
        var body: String
    }

    private static func axis(highest: Int, _ steps: Plot.Steps) -> Axis {
        let top = rounded(highest)
        var body = ""
        for value in top > 1 ? [0, top / 2, top] : [0, top] {
            let y = self.top + plotHeight - value * plotHeight / top
            body += "<path class=\"grid\" d=\"M\(left) \(y)H\(width - right)\"/>"
            body += text(left - 8, y + 4, "end", short(value))
        }
        let y = height - 14
        body += text(left, y, "start", shortLabel(steps, 0))
        if steps.count > 2 { body += text(left + plotWidth / 2, y, "middle", shortLabel(steps, steps.count / 2)) }
        if steps.count > 1 { body += text(width - right, y, "end", shortLabel(steps, steps.count - 1)) }
        return Axis(highest: top, body: body)
    }

    /// Without the year.
    private static func shortLabel(_ steps: Plot.Steps, _ step: Int) -> String {
        let label = steps.label(step)
        return steps.hours < 8760 ? String(label.dropFirst(5)) : label
    }

    /// An even number that axes may end with: 2, 4, 6, 8, 10, 20, 40, …
    private static func rounded(_ highest: Int) -> Int {
        guard highest > 1 else { return 1 }
        var unit = 1
        while highest / unit >= 10, unit < Int.max / 100 { unit *= 10 }
        return [1, 2, 4, 6, 8, 10].map { $0 * unit }.first { $0 >= highest && ($0 % 2 == 0 || $0 == 1) } ?? highest
    }

    /// `950`, `1.2k`, `34M`.
    private static func short(_ number: Int) -> String {
        for (unit, sign) in [(1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")] where number >= unit {
            let tenths = number / (unit / 10)
            return (tenths < 100 && tenths % 10 != 0 ? "\(tenths / 10).\(tenths % 10)" : "\(tenths / 10)") + sign
        }
        return String(number)
    }

    private static func columns(
        _ title: String, _ times: Plot.Times, _ series: [Plot.Series], _ name: String
    ) -> String {
        let steps = times.steps(max: columnsMax)
        let sums = series.map { steps.sums($0.values, of: times) }
        let totals = (0..<steps.count).map { step in sums.reduce(0) { $0 + $1[step] } }
        let axis = axis(highest: totals.max() ?? 0, steps)
        let step = Double(plotWidth) / Double(max(1, steps.count))
        let width = min(max(1, step * 0.82), 48)
        var body = axis.body
        for index in 0..<steps.count {
            var y = Double(top + plotHeight)
            for (number, values) in sums.enumerated() where values[index] > 0 {
                let height = Double(values[index]) / Double(axis.highest) * Double(plotHeight)
                y -= height
                body += rectangle(
                    Double(left) + (Double(index) + 0.5) * step - width / 2, y, width, height, number,
                    "\(steps.label(index)): \(series[number].name) \(grouped(values[index]))")
            }
        }
        let highest = totals.enumerated().max { $0.element < $1.element }
        let description = highest.map {
            "One column for each \(steps.unit). The highest is at \(steps.label($0.offset)): \(grouped($0.element))."
        }
        return frame(title, description ?? "", name, height: height, body)
    }

    private static func level(_ title: String, _ times: Plot.Times, _ values: [Int], _ name: String) -> String {
        let steps = times.steps(max: columnsMax)
        let levels = steps.levels(values, of: times)
        let axis = axis(highest: levels.max() ?? 0, steps)
        let step = Double(plotWidth) / Double(max(1, levels.count))
        let base = top + plotHeight
        var line = ""
        for (index, level) in levels.enumerated() {
            let y = Double(base) - Double(max(0, level)) / Double(axis.highest) * Double(plotHeight)
            line += "\(index == 0 ? "" : "V\(decimal(y))")H\(decimal(Double(left) + Double(index + 1) * step))"
        }
        let firstY = decimal(
            Double(base) - Double(max(0, levels.first ?? 0)) / Double(axis.highest) * Double(plotHeight))
        let body =
            axis.body + "<path class=\"area\" d=\"M\(left) \(base)V\(firstY)\(line)V\(base)Z\"/>"
            + "<path class=\"line\" d=\"M\(left) \(firstY)\(line)\"/>"
        let description = "At most \(grouped(levels.max() ?? 0)); \(grouped(levels.last ?? 0)) at the end."
        return frame(title, description, name, height: height, body)
    }
}
