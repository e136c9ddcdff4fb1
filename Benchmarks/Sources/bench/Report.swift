import Foundation

/// All measurements, as written to JSON. A later run replaces the suites that it ran.
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

    struct Part: Codable {
        var machine: Machine
        var figures: [Figure]
        var plots: [Plot]
    }

    /// By suite.
    var parts: [String: Part] = [:]

    static func read(_ path: String) throws -> Report {
        guard let data = FileManager.default.contents(atPath: path) else { return Report() }
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try decoder.decode(Report.self, from: data)
    }

    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        try (encoder.encode(self) + Data("\n".utf8)).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    /// By table, in the order of the suites.
    var tables: [(name: String, figures: [Figure])] { allSuites.flatMap { tables(of: $0.name) } }

    func tables(of suite: String) -> [(name: String, figures: [Figure])] {
        let figures = parts[suite]?.figures ?? []
        var names: [String] = []
        for figure in figures where !names.contains(figure.table) { names.append(figure.table) }
        return names.map { name in (name, figures.filter { $0.table == name }) }
    }

    func value(_ table: String, _ name: String, _ column: String) -> Double? {
        parts.values.flatMap(\.figures).first { $0.table == table && $0.name == name }?[column]
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
