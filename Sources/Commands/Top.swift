import Activity
import ArgumentParser
import Console
import Control
import Glibc
import PolicyFile

struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show calls, denials, grants and latencies, live.",
        discussion: """
            On a terminal the screen is updated until you press q. Otherwise, or with --once or --count, it prints the \
            activity of one or more intervals as plain text. Rates are those of the last interval. Each update reads at \
            most \(ActivityReport.grantsAtOnce) grants, among them the busiest that it has found so far.
            """)

    @OptionGroup var configuration: ConfigurationOption

    @Option(help: ArgumentHelp("The time between two updates, as in 500ms, 2s, 1m.", valueName: "duration"))
    var interval: String = "2s"

    @Flag(help: "Print one interval as plain text, and end.")
    var once = false

    @Option(help: ArgumentHelp("Print that many intervals as plain text, and end.", valueName: "number"))
    var count: Int?

    func run() throws {
        let interval = try period()
        if let count, count < 1 { throw CommandFailure.usage("not a number of intervals: \(count); give 1 or more") }
        var source = ActivitySource(path: try configuration.settings().controlPath)
        // A daemon that can't be reached at the start ends the command with exit code 3.
        try source.ask()
        if once || count != nil || !Display.isTerminal {
            try printPlainly(&source, interval, count: once ? 1 : count ?? 1)
        } else {
            try watch(&source, interval)
        }
    }

    private func period() throws -> Duration {
        guard let interval = Duration(configurationText: interval), Self.intervals.contains(interval) else {
            throw CommandFailure.usage("not an interval: \"\(interval)\"; give 200ms to 1h, as in 500ms, 2s, 1m")
        }
        return interval
    }

    private static let intervals: ClosedRange<Duration> = .milliseconds(200) ... .seconds(3600)

    // MARK: Plain text

    private func printPlainly(_ source: inout ActivitySource, _ interval: Duration, count: Int) throws {
        for number in 1...count {
            pause(interval)
            try source.ask()
            let screen = Screen(
                source.observation, size: .unlimited, interval: interval, isUnicode: Terminal.isUnicode)
            print((number > 1 ? "\n" : "") + screen.lines.map(\.text).joined(separator: "\n"))
            fflush(nil)
        }
    }

    private func pause(_ time: Duration) {
        let (seconds, attoseconds) = time.components
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        var left = timespec()
        while nanosleep(&time, &left) != 0, errno == EINTR { time = left }
    }

    // MARK: Live

    private func watch(_ source: inout ActivitySource, _ interval: Duration) throws {
        let terminal = try Terminal()
        terminal.open()
        defer { terminal.close() }
        let clock = ContinuousClock()
        var next = clock.now + interval
        while true {
            let screen = Screen(
                source.observation, size: terminal.size, interval: interval, isUnicode: Terminal.isUnicode, isLive: true
            )
            guard terminal.draw(screen.lines) else { return }
            switch terminal.wait(next - clock.now) {
            case .key(UInt8(ascii: "q")), .key(UInt8(ascii: "Q")), .hangup: return
            case .key(UInt8(ascii: " ")), .timeout:
                source.askPatiently()
                next = clock.now + interval
            case .key, .signal(SIGWINCH): break
            case .signal(SIGCONT): terminal.open()
            case .signal(let number): terminal.yield(to: number)
            }
        }
    }
}

/// Polls the daemon.
private struct ActivitySource {
    private let client: ControlClient
    private(set) var observation = Observation()

    /// Also the longest time that a key may wait for its effect.
    private static let patience: Duration = .seconds(1)

    init(path: String) {
        client = ControlClient(path: path, patience: Self.patience)
    }

    mutating func ask() throws {
        let reply: ControlReply
        do {
            reply = try client.ask(
                ControlCall(.activity, watched: observation.watched, nextGrant: observation.report?.nextGrant))
        } catch let error as ControlError {
            throw CommandFailure(message: error.description, code: ExitStatus.unreachable)
        }
        guard let report = reply.activity else {
            throw CommandFailure.usage(
                reply.failure ?? "the daemon's reply has no activity report; restart a daemon of another version")
        }
        observation.reported(report)
    }

    /// Retries a daemon that doesn't answer, since it may be restarting.
    mutating func askPatiently() {
        do {
            try ask()
        } catch {
            observation.failed((error as? CommandFailure)?.message ?? "\(error)")
        }
    }
}
