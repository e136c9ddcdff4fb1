import Foundation
import Testing

private let metrics = "metrics: 127.0.0.1:9811\nquarantine: false"
private let page = "http://127.0.0.1:9811/metrics"

extension LabTests {
    @Suite("Metrics")
    struct MetricsTests {
        private static let echo = Echo(program: 100_005)

        /// Causes one of each: a grant, a denial over TCP, a stranger's call over UDP, and a packet to a guarded
        /// port.
        private static func makeTraffic(_ lab: Lab) async throws {
            try await lab.start(echo)
            _ = try lab.lookUp(echo)
            _ = try lab.ask(.limited, echo.getPort, to: "10.77.3.1", over: .tcp)
            _ = try lab.ask(.stranger, .dump(.v4), to: "10.77.4.1", over: .udp, options: "--wait 100")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
        }

        @Test(
            "curl gets the numbers of what happened, and no peer's address", .enabled(if: Contrib.isInstalled("curl")),
            .lab(.rpcbind, .daemon, settings: metrics))
        func numbers() async throws {
            let lab = try Lab.current
            try await Self.makeTraffic(lab)
            let text = try lab.curl(page).text
            for line in [
                #"calls_total{decision="permitted",reason="",procedure="getport",transport="udp"} 1"#,
                #"calls_total{decision="denied",reason="no-rule",procedure="getport",transport="tcp"} 1"#,
                #"calls_total{decision="denied",reason="stranger",procedure="dump",transport="udp"} 1"#,
                #"grant_operations_total{operation="granted"} 1"#, "grants 1", "table_in_place 1", "rpcbind_up 1",
                "guarded_ports 1", #"events_total{event="started"} 1"#, #"events_total{event="granted"} 1"#,
                "commit_duration_seconds_count \(try lab.counts()["commits"] ?? -1)",
            ] {
                #expect(text.contains("\nrpcwarden_\(line)\n"), "\(line)\n\(text)")
            }
            let upstream = try #require(Self.value("upstream_duration_seconds_count", in: text))
            #expect(upstream >= 2)
            // The rule's own counter: a SYN and its retransmissions, if any.
            let dropped = try #require(Self.value(#"dropped_packets_total{cause="guarded"}"#, in: text))
            let table = try lab.nft("list chain inet rpcwarden guarded_port").text
            #expect(dropped >= 1 && table.contains("counter packets \(Int(dropped)) "), "\(dropped)\n\(table)")
            #expect(!text.contains("10.77.") && !text.contains("fd77"))
        }

        private static func value(_ name: String, in text: String) -> Double? {
            text.split(separator: "\n").first { $0.hasPrefix("rpcwarden_\(name) ") }
                .flatMap { $0.split(separator: " ").last }.flatMap { Double($0) }
        }

        @Test(
            "curl is told what is not served", .enabled(if: Contrib.isInstalled("curl")),
            .lab(.rpcbind, .daemon, settings: metrics))
        func refusals() throws {
            let lab = try Lab.current
            #expect(try lab.curl("-I", page).text.hasPrefix("HTTP/1.1 200 OK\r\n"))
            for (status, arguments) in [
                ("404", ["http://127.0.0.1:9811/"]), ("405", ["-d", "x", page]),
                ("431", ["-H", "X: " + String(repeating: "x", count: 20_000), page]), ("200", ["--http1.0", page]),
                ("200", ["-H", "Accept: application/openmetrics-text", page]),
            ] {
                let output = try lab.curl(arguments + ["-o", "/dev/null", "-w", "%{http_code}"])
                #expect(output.text == status && output.isSuccess, "\(output)")
            }
            let openMetrics = try lab.curl("-H", "Accept: application/openmetrics-text", page).text
            #expect(openMetrics.hasSuffix("# EOF\n"))
        }

        @Test(
            "listens at an IPv6 address too", .enabled(if: Contrib.isInstalled("curl")),
            .lab(.rpcbind, .daemon, settings: "metrics: \"[::1]:9811\""))
        func overIPv6() throws {
            let lab = try Lab.current
            #expect(try lab.curl("http://[::1]:9811/metrics").text.contains("\nrpcwarden_table_in_place 1\n"))
            #expect(try !lab.curl(page).isSuccess, "and at no other")
        }

        @Test(
            "a restart keeps the port; a place that is taken ends the start, with its name, and the guard stays",
            .lab(.rpcbind, .daemon, settings: metrics))
        func taken() async throws {
            let lab = try Lab.current
            try await lab.restartDaemon()
            let other = try lab.rpcwarden("stop")
            #expect(other.isSuccess)
            try await eventually("the daemon has ended") { try !lab.isRunning("daemon") }
            try lab.spawnPeer(.server, "squatter", "listen --at 127.0.0.1 --port 9811 --over tcp")
            try await eventually("the port is taken") { lab.log("squatter").contains("listening") }
            let output = try lab.exec(.server, lab.binary, "serve", "--config", lab.configuration, seconds: 5)
            #expect(output.status == 2)
            #expect(
                output.errors.contains("can't listen for metrics at tcp/127.0.0.1:9811: Address already in use"),
                "\(output)")
            #expect(try lab.nft("list table inet rpcwarden").isSuccess)
            try lab.kill("squatter")
            try await lab.restartDaemon()
        }

        @Test(
            "while connections wait and scrapes flood, approved clients are answered",
            .enabled(if: Contrib.isInstalled("curl")), .lab(.rpcbind, .daemon, settings: metrics))
        func flood() async throws {
            let lab = try Lab.current
            try await lab.start(Self.echo)
            try lab.spawn(
                .server, "scrapes",
                [
                    "sh", "-c",
                    "for i in 1 2 3 4; do while :; do curl -s -o /dev/null \(page); done & done; sleep 3; kill $(jobs -p)",
                ])
            try lab.spawnPeer(.server, "waiting", "tcp-hold --to 127.0.0.1 --port 9811 --count 40 --hold 3000")
            try await eventually("the longest waiting connection had to go") {
                lab.log("waiting").contains("closed connection=0 ")
            }
            #expect(try lab.curl(page).text.contains("rpcwarden_table_in_place 1"))
            var slowest = Duration.zero
            for _ in 0..<10 {
                let begin = ContinuousClock.now
                let answer = try lab.lookUp(Self.echo)
                slowest = max(slowest, ContinuousClock.now - begin)
                #expect(answer.result(of: Self.echo.getPort) == .port(4001))
            }
            print("scraped without end: slowest approved answer \(slowest)")
            try await eventually("the flood is over") { try !lab.isRunning("scrapes") }
        }
    }

    /// The real Prometheus of Debian.
    @Suite(
        "Prometheus",
        .enabled(if: Contrib.isInstalled("prometheus"), "needs prometheus: apt-get install --no-install-recommends"))
    struct PrometheusTests {
        @Test(
            "promtool finds nothing wrong with the metrics, in either mode", .enabled(if: Contrib.isInstalled("curl")),
            .lab(.rpcbind, .daemon, settings: metrics))
        func lint() async throws {
            let lab = try Lab.current
            for mode in ["enforce", "observe"] {
                try lab.configure("mode: \(mode)\n\(metrics)", policy: Policies.standard)
                #expect(try lab.rpcwarden("reload").isSuccess)
                try await lab.makeDenials()
                // The previous page is cached for a moment.
                try await Task.sleep(for: .milliseconds(150))
                try lab.write(try lab.curl(page).text, to: "page")
                let output = try lab.exec(.server, "sh", "-c", "promtool check metrics <\(lab.state)/page")
                #expect(output.isSuccess && output.text + output.errors == "", "\(output)")
            }
            #expect(try lab.curl(page).text.contains(#"decision="observed""#))
        }

        @Test(
            "promtool takes the alert rules, and they fire when they should, and else not", .lab())
        func rules() throws {
            let lab = try Lab.current
            let folder = "\(Contrib.folder)/prometheus"
            for arguments in [
                ["check", "rules", "\(folder)/rpcwarden.rules.yaml"],
                ["test", "rules", "\(folder)/rpcwarden.rules.test.yaml"],
            ] {
                let output = try lab.exec(.server, ["promtool"] + arguments)
                #expect(output.isSuccess, "\(output)")
            }
        }

        @Test(
            "Prometheus scrapes it, finds its numbers, and every metric of the rules",
            .lab(.rpcbind, .daemon, settings: metrics + "\nfleet: {pair: {name: nas}}"))
        func scrape() async throws {
            let lab = try Lab.current
            let echo = Echo(program: 100_005)
            try await lab.start(echo)
            _ = try lab.lookUp(echo)
            try await lab.makeDenials()
            try await lab.startPrometheus()
            let denied = try lab.counts()["denied"] ?? -1
            try await eventually("the numbers are there") {
                try lab.query(#"sum(rpcwarden_calls_total{decision="denied"})"#) == ["\(denied)"]
            }
            #expect(try lab.query(#"up{job="rpcwarden"}"#) == ["1"])
            #expect(try lab.query("rpcwarden_grants") == ["1"])
            #expect(
                try lab.query(#"rpcwarden_calls_total{decision="permitted",procedure="getport",transport="udp"}"#) == [
                    "1"
                ])
            #expect(try lab.query(#"rpcwarden_upstream_duration_seconds_bucket{le="+Inf"}"#).count == 1)
            #expect(try lab.query("histogram_quantile(0.99, rpcwarden_commit_duration_seconds_bucket)").count == 1)
            // Prometheus requests OpenMetrics; only in this format do metadata have a unit.
            let metadata = try lab.prometheus("metadata", [("metric", "rpcwarden_commit_duration_seconds")])
            #expect(metadata.contains(#""type":"histogram""#), "\(metadata)")
            for match in try Contrib.text("prometheus/rpcwarden.rules.yaml").matches(of: /rpcwarden_\w+/)
            where !match.output.hasPrefix("rpcwarden_fleet_policy_") && !match.output.hasPrefix("rpcwarden_server_") {
                #expect(try lab.query("count(\(match.output))") != [], "\(match.output) of the rules")
            }
        }
    }
}

extension Lab {
    fileprivate func curl(_ arguments: String...) throws -> Output { try curl(arguments) }

    fileprivate func curl(_ arguments: [String]) throws -> Output {
        try exec(.server, ["curl", "--silent", "--show-error", "--max-time", "10"] + arguments)
    }
}
