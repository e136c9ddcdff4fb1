/// Numbers for people, short and always of the same shape.
public enum Figures {
    /// `0`, `0.5`, `12.3`, `123`, `12.3k`, `4.5M`; `-` if it isn't known yet.
    static func rate(_ rate: Double?) -> String {
        guard let rate else { return "-" }
        if rate == 0 { return "0" }
        return rate < 0.05 ? "<0.1" : scaled(rate)
    }

    public static func count(_ count: some BinaryInteger) -> String {
        count < 100_000 ? "\(count)" : scaled(Double(count))
    }

    private static func scaled(_ value: Double) -> String {
        var (value, unit) = (value, "")
        for next in ["k", "M", "G", "T"] where value.rounded() >= (unit.isEmpty ? 10_000 : 1000) {
            (value, unit) = (value / 1000, next)
        }
        return (value < 99.95 ? oneDecimal(value) : "\(Int(value.rounded()))") + unit
    }

    private static func oneDecimal(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }

    /// `12s`, `3m`, `5h12m`, `3d4h`.
    public static func span(seconds: Int) -> String {
        switch seconds {
        case ..<60: "\(seconds)s"
        case ..<3600: "\(seconds / 60)m"
        case ..<86_400: "\(seconds / 3600)h\(seconds / 60 % 60)m"
        default: "\(seconds / 86_400)d\(seconds / 3600 % 24)h"
        }
    }

    /// `87 us`, `1.2 ms`, `1 s`.
    static func duration(_ duration: Duration) -> String {
        let microseconds = duration.inSeconds * 1e6
        if microseconds < 1000 { return "\(Int(microseconds.rounded())) us" }
        let value = microseconds < 1e6 ? microseconds / 1000 : microseconds / 1e6
        let tenths = oneDecimal(value)
        let text = tenths.hasSuffix(".0") || value >= 100 ? "\(Int(value.rounded()))" : tenths
        return text + (microseconds < 1e6 ? " ms" : " s")
    }

    static func quantile(_ quantile: LatencyReport.Quantile) -> String {
        switch quantile {
        case .atMost(let microseconds): "within \(duration(.microseconds(microseconds)))"
        case .moreThan(let microseconds): "over \(duration(.microseconds(microseconds)))"
        }
    }

    /// A bar of one of eight heights for each value, the highest for the greatest.
    static func sparkline(_ values: some Collection<Double>) -> String {
        let bars: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        let greatest = values.max() ?? 0
        return String(values.map { greatest > 0 ? bars[Int($0 / greatest * 7.999)] : bars[0] })
    }
}
