import Foundation

/// All that was measured, as it is written to JSON. A later run replaces the suites that it ran.
struct Report: Codable {
    struct Machine: Codable {
        var kernel: String
        var processors: Int
        var processor: String
        var isRealtime: Bool
        var load: String
        var date: String
        var rounds: Int
    }

    /// By suite: under which circumstances.
    var machines: [String: Machine] = [:]
    var figures: [Figure] = []
    var plots: [Plot] = []

    static func read(_ path: String) throws -> Report {
        guard let data = FileManager.default.contents(atPath: path) else { return Report() }
        return try JSONDecoder().decode(Report.self, from: data)
    }

    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        try (encoder.encode(self) + Data("\n".utf8)).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    mutating func replace(_ suite: String, _ result: SuiteResult, _ machine: Machine) {
        machines[suite] = machine
        figures = figures.filter { $0.suite != suite } + result.figures
        plots = plots.filter { $0.suite != suite } + result.plots
    }

    func figures(of suite: String) -> [Figure] { figures.filter { $0.suite == suite } }

    func value(_ suite: String, _ name: String, _ column: String) -> Double? {
        figures.first { $0.suite == suite && $0.name == name }?[column]
    }
}

struct SuiteResult {
    var figures: [Figure] = []
    var plots: [Plot] = []
}

extension Report.Machine {
    static func here(isRealtime: Bool, rounds: Int) -> Self {
        let model = contents("/proc/cpuinfo").split(separator: "\n").first { $0.hasPrefix("model name") }
        return Self(
            kernel: contents("/proc/sys/kernel/osrelease").trimmed, processors: ProcessInfo.processInfo.processorCount,
            processor: model.map { String($0.split(separator: ":").last ?? "").trimmed } ?? "unknown",
            isRealtime: isRealtime,
            load: contents("/proc/loadavg").split(separator: " ").prefix(3).joined(separator: " "),
            date: ISO8601DateFormatter().string(from: Date()), rounds: rounds)
    }
}

func contents(_ path: String) -> String {
    FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
}

extension String {
    var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
