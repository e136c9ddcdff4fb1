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
    let writesDocs = arguments.options["--write-docs"] != nil
    say(
        isRealtime
            ? "Servers and load run with real-time priority (chrt -r 10), before all ordinary processes."
            : "With ordinary priority: figures mean something only where nothing else runs.")
    var failed: [String] = []
    for suite in allSuites where arguments.suites.contains(suite.name) || arguments.suites.isEmpty && !writesDocs {
        let machine = Report.Machine.here(isRealtime: isRealtime, rounds: bench.rounds)
        do {
            let result = try suite.measure(bench)
            report.parts[suite.name] = .init(machine: machine, figures: result.figures, plots: result.plots)
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
    guard failed.isEmpty else { throw Unfulfilled(description: "not measured: \(failed.joined(separator: ", "))") }
}
