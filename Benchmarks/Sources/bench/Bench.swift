import Foundation

/// The settings of a run of scripts/bench, and the paths of its files.
struct Bench {
    var root: String
    var binary: String
    /// The folder of this program, which also has load, micro and storm.
    var tools: String
    var labPrefix: String
    var isRealtime: Bool
    var rounds: Int
    var seconds: Double

    var priority: [String] { isRealtime ? ["chrt", "-r", "10"] : [] }

    func lab(_ suffix: String) -> Lab { Lab(name: "\(labPrefix)-\(suffix)", script: "\(root)/scripts/lab") }

    func settle(_ pids: [Int32]) throws { if isRealtime { try makeRealtime(pids) } }
}

/// One run of the load generator.
struct Tally: Decodable {
    var sent, answered, accepted, denied, empty, lost: Int
    var seconds, p50, p99, p999, max, cpu: Double

    var rate: Double { Double(answered) / seconds }
}

struct LoadRun {
    var kind = "udp"
    var host = "approved"
    var to = "10.77.1.1"
    var port = 111
    /// Calls in flight on each connection; UDP has one connection.
    var inFlight = 128
    var connections = 1
    var seconds: Double?
    var calls: Int?
    var sources: String?
    var patienceMilliseconds: Int?
    /// Calls a second; `nil`: a call is sent as soon as another has ended.
    var rate: Int?
}

extension Bench {
    func load(_ run: LoadRun, _ messages: Messages, from lab: Lab) throws -> Tally {
        try Tally(try execute(command(run, messages, from: lab)))
    }

    /// The same, without waiting for the end.
    func start(_ run: LoadRun, _ messages: Messages, from lab: Lab) throws -> RunningLoad {
        try RunningLoad(command(run, messages, from: lab))
    }

    private func command(_ run: LoadRun, _ messages: Messages, from lab: Lab) throws -> [String] {
        let path = "\(lab.state)/messages-\(messages.calls.hashValue)"
        if !FileManager.default.fileExists(atPath: path) {
            try messages.text.write(toFile: path, atomically: true, encoding: .utf8)
        }
        var words = lab.entry(run.host) + priority
        words += ["\(tools)/load", run.kind, "--to", run.to, "--port", "\(run.port)", "--messages", path]
        words += [
            "--in-flight", "\(run.inFlight)", "--connections", "\(run.connections)", "--seconds",
            "\(run.seconds ?? seconds)",
        ]
        if let calls = run.calls { words += ["--calls", "\(calls)"] }
        if let sources = run.sources { words += ["--sources", sources] }
        if let patience = run.patienceMilliseconds { words += ["--patience", "\(patience)"] }
        if let rate = run.rate { words += ["--rate", "\(rate)"] }
        return words
    }
}

extension Tally {
    init(_ text: String) throws { self = try JSONDecoder().decode(Tally.self, from: Data(text.utf8)) }
}

final class RunningLoad {
    private let process = Process()
    private let output = Pipe()

    init(_ command: [String]) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardOutput = output
        try process.run()
    }

    /// Ends the run early.
    func end() throws -> Tally {
        process.terminate()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return try Tally(String(decoding: data, as: UTF8.self))
    }
}
