import Foundation
import Testing

extension LabTests {
    @Suite("top")
    struct TopTests {
        private static func top(_ lab: Lab, _ options: String = "--interval 300ms") -> String {
            "\(lab.binary) top --config \(lab.configuration) \(options)"
        }

        /// A client looks up and uses a service; a stranger calls, and sends to the service.
        private static func makeTraffic(_ lab: Lab) async throws {
            let echo = Echo(program: 100_005)
            try await lab.start(echo)
            _ = try lab.lookUp(echo)
            #expect(try lab.connect(echo) == "connected")
            _ = try lab.ask(.stranger, echo.getPort, to: "10.77.4.1", over: .tcp, options: "--wait 100")
            _ = try lab.ask(.limited, echo.getPort, to: "10.77.3.1", over: .tcp)
            _ = try lab.connect(echo, from: .stranger, to: "10.77.4.1", options: "--wait 200")
        }

        @Test(
            "at 80 x 24 shows who was denied and who was let in; resized it fits, and q leaves the terminal as it was",
            .enabled(if: Tmux.isInstalled), .lab(.rpcbind, .daemon))
        func terminal() async throws {
            let lab = try Lab.current
            try await Self.makeTraffic(lab)
            let tmux = try await Tmux(lab)
            defer { tmux.kill() }
            let before = try tmux.run("display-message", "-p", "#{pane_width}x#{pane_height}")
            #expect(before == "80x24\n")
            // The interval is so long that only keys and signals change the screen.
            let top = Self.top(lab, "--interval 1h")
            try tmux.type("stty -g >\(lab.state)/before; \(top); stty -g >\(lab.state)/after; echo status $?")
            try await tmux.shows("rpcbind up")
            try tmux.press("Space")
            let lines = try await tmux.shows("rates") { lines in
                lines.contains { $0.hasPrefix("calls/s    0 ") } && lines.contains { $0.contains("10.77.4.2") }
            }
            print(lines.joined(separator: "\n"))
            #expect(lines[0].hasPrefix("rpcwarden   enforce   up "))
            #expect(lines[1].hasPrefix("rpcbind up   table intact   "))
            #expect(lines.contains { $0.hasPrefix("2 DENIED SOURCES") } && lines.contains { $0.hasPrefix("1 GRANT ") })
            let denied = try #require(lines.first { $0.hasPrefix("10.77.4.2") })
            #expect(denied.contains("stranger") && denied.contains("mountd"), "\(denied)")
            let grant = try #require(lines.first { $0.hasPrefix("10.77.1.2") })
            #expect(grant.contains("tcp/4001") && grant.contains("mountd") && grant.contains("23h59m"), "\(grant)")
            let packets = try #require(try lab.grants().first).packets
            #expect(grant.split(separator: " ").contains("\(packets)"), "\(packets): \(grant)")
            #expect(try tmux.modes() == "100", "our own screen, no cursor, no wrapping")

            for (columns, rows) in [(40, 10), (200, 60), (80, 24)] {
                try tmux.resize(columns, rows)
                let lines = try await tmux.shows("the screen at \(columns) x \(rows)") { lines in
                    lines.count == rows && lines[0].hasPrefix("rpcwarden   enforce   up ")
                        && lines[0].contains("q quits") == (columns >= 80)
                        && lines.contains { $0.hasPrefix("10.77.1.2  tcp/4001") }
                        && lines.contains { $0.hasPrefix("10.77.3.2") }
                        // The last column is used.
                        && lines.contains { $0.count == 80 && $0.hasSuffix("~") } == (columns == 80)
                }
                #expect(lines.contains { $0.contains("approved clients mount (") } == (columns == 200), "\(lines)")
            }
            try tmux.press("q")
            let left = try await tmux.shows("status 0")
            #expect(!left.contains { $0.hasPrefix("rpcwarden   enforce") })
            #expect(try tmux.modes() == "011")
            let settings = try ["before", "after"].map {
                try String(contentsOfFile: "\(lab.state)/\($0)", encoding: .utf8)
            }
            #expect(settings[0] == settings[1])
        }

        @Test(
            "numbers move: calls that come are seen in the next interval", .enabled(if: Tmux.isInstalled),
            .lab(.rpcbind, .daemon))
        func moving() async throws {
            let lab = try Lab.current
            let echo = Echo(program: 100_005)
            try await lab.start(echo)
            let tmux = try await Tmux(lab)
            defer { tmux.kill() }
            try tmux.type(Self.top(lab, "--interval 1s"))
            try await tmux.shows("calls/s    0 ")
            for _ in 0..<3 {
                _ = try lab.lookUp(echo)
                _ = try lab.ask(.stranger, echo.getPort, to: "10.77.4.1", over: .tcp, options: "--wait 100")
            }
            try await tmux.shows("rates") { lines in
                guard let calls = lines.first(where: { $0.hasPrefix("calls/s") }),
                    let denied = lines.first(where: { $0.hasPrefix("denied/s") })
                else { return false }
                return calls.contains("permitted") && !calls.contains("permitted 0 ") && denied.contains("stranger ")
            }
        }

        @Test(
            "Ctrl-C, Ctrl-\\, SIGTERM and Ctrl-Z leave the terminal as it was, and fg comes back",
            .enabled(if: Tmux.isInstalled),
            .lab(.rpcbind, .daemon))
        func signals() async throws {
            let lab = try Lab.current
            let tmux = try await Tmux(lab)
            defer { tmux.kill() }
            try tmux.type("\(Self.top(lab)); echo status $?")
            try await tmux.shows("rpcbind up")
            try tmux.press("C-z")
            try await tmux.shows("Stopped")
            #expect(try tmux.modes() == "011")
            try tmux.type("stty -a | tr ' ;' '\\n\\n' | grep -cxE 'icanon|echo|ixon'")
            try await tmux.shows("3")
            try tmux.type("fg")
            try await tmux.shows("rpcbind up")
            #expect(try tmux.modes() == "100")
            try tmux.press("C-c")
            try await tmux.shows("the shell") { lines in lines.contains { $0.hasPrefix("READY>") } }
            #expect(try tmux.modes() == "011")

            try tmux.type("clear; \(Self.top(lab)); echo status $?")
            try await tmux.shows("rpcbind up")
            try tmux.press("C-\\")
            try await tmux.shows("status 131")
            #expect(try tmux.modes() == "011")
            try tmux.type("clear; stty -a | tr ' ;' '\\n\\n' | grep -cxE 'icanon|echo|ixon'")
            try await tmux.shows("3")

            try tmux.type("clear; \(Self.top(lab)); echo status $?")
            try await tmux.shows("rpcbind up")
            let shell = try tmux.run("display-message", "-p", "#{pane_pid}").trimmingCharacters(in: .newlines)
            let pids = try lab.exec(.server, "pgrep", "-P", shell).lines
            let pid = try #require(pids.count == 1 ? pids.first : nil, "\(pids)")
            _ = try lab.exec(.server, "kill", "-TERM", pid)
            try await tmux.shows("status 143")
            #expect(try tmux.modes() == "011")
            try tmux.type("clear; stty -a | tr ' ;' '\\n\\n' | grep -cxE 'icanon|echo|ixon'")
            try await tmux.shows("3")
        }

        @Test(
            "a daemon that ends, or hangs, is told of, and found again when it is back",
            .enabled(if: Tmux.isInstalled), .lab(.rpcbind, .daemon))
        func daemonGone() async throws {
            let lab = try Lab.current
            try await Self.makeTraffic(lab)
            let tmux = try await Tmux(lab)
            defer { tmux.kill() }
            try tmux.type(Self.top(lab))
            try await tmux.shows("10.77.4.2")
            try lab.kill("daemon")
            let gone = try await tmux.shows("NO ANSWER FROM THE DAEMON")
            #expect(gone[1].contains("can't reach the daemon at"), "\(gone)")
            #expect(gone.contains { $0.hasPrefix("10.77.4.2") }, "what was known stays: \(gone)")
            try await lab.restartDaemon()
            let back = try await tmux.shows("the new daemon") { $0[0].hasPrefix("rpcwarden   enforce   up") }
            #expect(back.contains { $0.hasPrefix("NO DENIED SOURCES") }, "\(back)")
            #expect(back.contains { $0.hasPrefix("10.77.1.2") }, "the grant was adopted: \(back)")

            try lab.kill("daemon", "STOP")
            try await tmux.shows("NO ANSWER FROM THE DAEMON")
            try tmux.press("q")
            try await tmux.shows("READY>")
            try lab.kill("daemon", "CONT")
        }

        @Test(
            "has colours on a terminal, unless NO_COLOR is set to something", .enabled(if: Tmux.isInstalled),
            .lab(.rpcbind, .daemon))
        func colours() async throws {
            let lab = try Lab.current
            for (environment, hasColours) in [
                ([], true), (["NO_COLOR="], true), (["NO_COLOR=1"], false),
            ] {
                let tmux = try await Tmux(lab, environment: environment)
                defer { tmux.kill() }
                try tmux.type("clear; \(Self.top(lab))")
                try await tmux.shows("calls/s    0 ")
                let text = try tmux.colouredScreen()
                #expect(text.contains("\u{1b}[") == hasColours, "\(environment) \(text)")
                #expect(text.contains("\u{1b}[1mrpcwarden") == hasColours, "\(text.debugDescription)")
            }
        }

        @Test(
            "a terminal that only prints is given plain text, one interval of it", .enabled(if: Tmux.isInstalled),
            .lab(.rpcbind, .daemon))
        func dumb() async throws {
            let lab = try Lab.current
            let tmux = try await Tmux(lab, environment: ["TERM=dumb"])
            defer { tmux.kill() }
            try tmux.type("clear; \(Self.top(lab)); echo status $?")
            try await tmux.shows("status 0")
            #expect(try tmux.modes() == "011")
        }

        @Test("into a pipe prints what happened in one interval, or in several, as plain text", .lab(.rpcbind, .daemon))
        func plain() async throws {
            let lab = try Lab.current
            try await Self.makeTraffic(lab)
            let begin = ContinuousClock.now
            let output = try lab.rpcwarden("top", "--interval", "400ms")
            #expect(output.isSuccess && ContinuousClock.now - begin >= .milliseconds(400), "\(output)")
            #expect(output.text.utf8.allSatisfy { $0 == 0x0a || (0x20...0x7e).contains($0) }, "\(output)")
            #expect(output.lines.contains { $0.hasPrefix("calls/s    0 ") }, "a rate, not a dash: \(output)")
            let grant = try #require(output.lines.first { $0.hasPrefix("10.77.1.2") }, "\(output)")
            #expect(grant.contains("approved clients mount"), "the rule is whole: \(grant)")
            #expect(output.lines.contains { $0.hasPrefix("10.77.3.2") && $0.contains("no-rule") }, "\(output)")
            #expect(!output.text.contains("quits"))

            let several = try lab.rpcwarden("top", "--interval", "200ms", "--count", "3")
            #expect(several.lines.count { $0.hasPrefix("calls/s    0 ") } == 3, "\(several)")
            #expect(try lab.rpcwarden("top", "--once").lines.count { $0.hasPrefix("calls/s") } == 1)
        }

        @Test("without a daemon ends with 3; with a wrong interval or count with 2", .lab(.rpcbind))
        func refusals() throws {
            let lab = try Lab.current
            try lab.configure(policy: Policies.standard)
            let unreachable = try lab.rpcwarden("top")
            #expect(unreachable.status == 3 && unreachable.text.isEmpty, "\(unreachable)")
            #expect(unreachable.errors.contains("can't reach the daemon"), "\(unreachable)")
            for words in [["--interval", "0s"], ["--interval", "2"], ["--interval", "2h"], ["--count", "0"]] {
                let output = try lab.exec(.server, [lab.binary, "top", "--config", lab.configuration] + words)
                #expect(output.status == 2 && output.text.isEmpty, "\(words): \(output)")
            }
        }
    }
}
