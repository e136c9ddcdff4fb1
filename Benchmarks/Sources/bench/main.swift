import Foundation

do {
    let arguments = try Arguments(CommandLine.arguments.dropFirst())
    guard arguments.options["--help"] == nil else {
        say(Arguments.usage)
        exit(0)
    }
    try measure(arguments)
} catch let error as Misuse {
    complain("\(error)\n\(Arguments.usage)")
    exit(2)
} catch {
    complain("\(error)")
    exit(1)
}

func measure(_ arguments: Arguments) throws {
    let root = arguments.options["--root"] ?? "."
    let isRealtime = arguments.options["--ordinary"] == nil && getuid() == 0
    let bench = Bench(
        root: root, binary: arguments.options["--binary"] ?? "\(root)/.build-release/release/rpcwarden",
        tools: URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path,
        labPrefix: arguments.options["--lab"] ?? "bench", isRealtime: isRealtime,
        rounds: try arguments.number("--rounds", 7), seconds: try arguments.number("--seconds", 0.5))
    let path = arguments.options["--json"] ?? "\(root)/.build-bench/figures.json"
    var report = try Report.read(path)
    let thresholds = try Threshold.read("\(root)/Benchmarks/thresholds.json")
    let writesDocs = arguments.options["--write-docs"] != nil
    say(
        isRealtime
            ? "Servers and load run with real-time priority (chrt -r 10), before all ordinary processes."
            : "With ordinary priority: figures mean something only where nothing else runs.")
    var failed: [String] = []
    var figures: [Figure] = []
    for suite in allSuites where arguments.suites.contains(suite.name) || arguments.suites.isEmpty && !writesDocs {
        let machine = Report.Machine.here(isRealtime: isRealtime, rounds: bench.rounds)
        do {
            let result = try suite.measure(bench)
            report.parts[suite.name] = .init(machine: machine, figures: result.figures, plots: result.plots)
            figures += result.figures
        } catch {
            complain("\(suite.name): \(error)")
            failed.append(suite.name)
            continue
        }
        for table in report.tables(of: suite.name) {
            say("\n\(table.name), load \(machine.load)\n\(Table(table.figures).text)")
        }
        try report.write(to: path)
    }
    if writesDocs { try Document(root: root, report: report).write() }
    say("\nFigures: \(path)")
    let comparison = ThresholdComparison(thresholds, figures)
    if !figures.isEmpty { tell(comparison) }
    guard failed.isEmpty else { throw Unfulfilled(description: "not measured: \(failed.joined(separator: ", "))") }
    guard arguments.options["--compare"] == nil || comparison.missed.isEmpty else {
        throw Unfulfilled(description: "thresholds missed: \(comparison.missed.count)")
    }
}

func tell(_ comparison: ThresholdComparison) {
    say("\nThresholds: \(comparison.compared) compared, \(comparison.missed.count) missed")
    for line in comparison.missed { say(line) }
}
