import Foundation

/// `rpcwarden report` on a month's audit log of three hosts, beside jq, which counts the events of the same file.
enum ReportSuite {
    static let name = "report"

    private static let lines = 1_000_000

    static func measure(_ bench: Bench) throws -> SuiteResult {
        let log = FileManager.default.temporaryFile()
        defer { log.remove() }
        try execute(["python3", "\(bench.root)/Tests/ReferenceTests/mixedlog.py", "\(lines)"], into: log.path)
        var (reports, counts): ([Run], [Run]) = ([], [])
        for _ in 0..<min(bench.rounds, 3) {
            reports.append(
                try Run(bench.priority + [bench.binary, "report", "--no-posture", "--format", "json", log.path]))
            counts.append(try Run(bench.priority + ["jq", "-nR", count, log.path]))
        }
        return SuiteResult(figures: [
            Figure(
                name, "1,000,000 lines of three hosts",
                [
                    .init("report", .seconds, reports.map(\.seconds)), .init("jq", .seconds, counts.map(\.seconds)),
                    .init("of jq", .ratio, zip(reports, counts).map { $0.seconds / $1.seconds }),
                ]
            ).atMost(0.6, "of jq"),
            Figure(
                name, "the same, at its peak",
                [.init("memory (RSS)", .megabytes, (reports.map(\.bytes).max() ?? .nan) / 1e6)]
            ).atMost(30, "memory (RSS)"),
        ])
    }

    /// Some lines are no events, and some no JSON.
    private static let count = "reduce (inputs | fromjson? | .event? // empty) as $kind ({}; .[$kind] += 1)"

    /// What a command took.
    private struct Run {
        var seconds: Double
        /// At its peak.
        var bytes: Double

        /// The kernel counts a program's memory from that of whoever started it: so something small does.
        private static let watch = """
            import resource, subprocess, sys, time
            start = time.monotonic()
            subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            print(time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
            """

        init(_ command: [String]) throws {
            let words = try execute(["python3", "-c", Self.watch] + command).split(separator: " ")
            guard words.count == 2, let seconds = Double(words[0]), let bytes = Double(words[1].trimming) else {
                throw Unfulfilled(description: "\(command): \(words)")
            }
            (self.seconds, self.bytes) = (seconds, bytes)
        }
    }
}
