import Foundation
import ONCRPC
import Testing

/// More connections than the connection table has places, or than the process has descriptors.
extension LabTests {
    @Suite("Floods of connections")
    struct ConnectionFloodTests {
        struct Flood: Sendable, CustomTestStringConvertible {
            var testDescription: String
            var words: String
        }

        private static let halfRecord = "--bytes 8000002812345678"

        static let floods = [
            Flood(testDescription: "from one stranger", words: "--to 10.77.4.1 --from 10.77.4.2"),
            Flood(
                testDescription: "from 2,000 strangers", words: "--to 10.77.4.1 --sources 10.79.0.1/2000 \(halfRecord)"),
            Flood(testDescription: "from one stranger's /64", words: "--to fd77:4::1 --sources fd79::1:1/2000"),
        ]

        @Test(
            "2,000 connections of strangers keep no approved client out, nor this host",
            .lab(.rpcbind, .daemon, settings: "limits: {strangers-per-second: 0}"), arguments: floods)
        func strangers(flood: Flood) async throws {
            let lab = try Lab.current
            try lab.spawnPeer(.stranger, "flood", "tcp-hold --port 111 --count 2000 --hold 120000 \(flood.words)")
            try await eventually("the flood has begun") { try Self.count("connections", lab) > 10 }
            var slowest = Duration.zero
            // All but those in the 1024 places must have gone.
            try await eventually("all 2,000 have had a place", within: .seconds(60)) {
                slowest = max(slowest, try Self.allGetIn(lab))
                return try Self.count("connections_crowded_out", lab) >= 2000 - 1024
            }
            print("flood \(flood.testDescription): slowest approved answer \(slowest)")
            try lab.kill("flood")
            try await eventually("all places are free again") { try Self.count("connections", lab) == 0 }
        }

        @Test(
            "an approved client that holds all its places gets another in, and loses its own oldest",
            .lab(.rpcbind, .daemon))
        func ownPlaces() async throws {
            let lab = try Lab.current
            try lab.spawnPeer(.approved, "held", "tcp-hold --to 10.77.1.1 --port 111 --count 16 --hold 20000")
            try await eventually("they are held") { try Self.count("connections", lab) == 16 }
            // A new connection is not idle yet: its call may be on the way.
            try await Task.sleep(for: .milliseconds(300))
            #expect(try lab.ask(.approved, .null(.v2), over: .tcp).body == .success([]))
            try await eventually("one is closed") { lab.log("held").contains("closed connection=0 ") }
            #expect(!lab.log("held").contains("connection=1 "))
        }

        /// Records that never end, in fragments that keep arriving.
        static let endless = [
            (name: "empty fragments", hex: String(repeating: "00000000", count: 1100)),
            (name: "fragments of a byte", hex: String(repeating: "0000000141", count: 4200)),
        ]

        @Test(
            "a record of endless fragments is closed on, however small they are", .lab(.rpcbind, .daemon),
            arguments: endless)
        func endlessFragments(name: String, hex: String) async throws {
            let lab = try Lab.current
            let output = try lab.peer(.approved, "stream --to 10.77.1.1 --pieces 500 --every 2 --wait 500 --hex \(hex)")
            #expect(output.text.contains("closed") && output.text.contains("bytes=0"), "\(name): \(output)")
            try await lab.event(.malformed) { $0.detail?.contains("4096") == true }
        }

        @Test(
            "endless fragments that come slowly end with tcp-idle, as does a byte each second",
            .lab(.rpcbind, .daemon, settings: "limits: {tcp-idle: 2s}"),
            arguments: ["--pieces 4 --every 400 --hex ", "--pieces 1 --every 1000 --hex "])
        func slowFragments(pace: String) async throws {
            let lab = try Lab.current
            // Empty fragments, for more than half a minute.
            let bytes = String(repeating: "00000000", count: pace.contains("--pieces 1 ") ? 10 : 80)
            try lab.spawnPeer(.approved, "slow", "stream --to 10.77.1.1 --wait 500 \(pace)\(bytes)")
            try await eventually("it is connected") { try Self.count("connections", lab) == 1 }
            try await eventually("it is closed", within: .seconds(20)) { try Self.count("connections", lab) == 0 }
        }

        @Test("with few descriptors the limit follows them, and approved clients get in all the same", .lab(.rpcbind))
        func fewDescriptors() async throws {
            let lab = try Lab.current
            try await lab.serve(through: ["prlimit", "--nofile=64:64", "--"])
            #expect(lab.log("daemon").contains("limits.tcp-connections: 1024 needs 2096 descriptors"))
            #expect(lab.log("daemon").contains("may open 64"))
            let flood = "tcp-hold --to 10.77.4.1 --port 111 --count 300 --hold 2500 --sources 10.79.0.1/300"
            try lab.spawnPeer(.stranger, "flood", flood)
            try await eventually("the places are taken") { try Self.count("connections", lab) >= 8 }
            var slowest = Duration.zero
            let before = try Self.processorTime(lab)
            let started = ContinuousClock.now
            while ContinuousClock.now - started < .seconds(2) { slowest = max(slowest, try Self.allGetIn(lab)) }
            let used = try Self.processorTime(lab) - before
            print("64 descriptors: slowest approved answer \(slowest), processor time in 2 s \(used)")
            #expect(used < .milliseconds(1000))
            #expect(try Self.count("connections", lab) <= 16)
        }

        @Test(
            "when descriptors run out after all, strangers make room; without any left, nothing spins, and accept goes on",
            .lab(.rpcbind, .daemon))
        func exhausted() async throws {
            let lab = try Lab.current
            try lab.spawnPeer(
                .stranger, "held", "tcp-hold --to 10.77.4.1 --port 111 --count 20 --hold 30000 --sources 10.79.0.1/20")
            try await eventually("strangers are connected") { try Self.count("connections", lab) == 20 }
            // The limit is just above the highest descriptor in use: the next open must fail.
            try Self.limitDescriptors(lab, to: try Self.highestDescriptor(lab) + 1)
            let slowest = try Self.allGetIn(lab)
            print("descriptors exhausted: slowest approved answer \(slowest)")
            try await eventually("strangers went") { lab.log("held").contains("closed connection=") }

            // The limit is below the number of open descriptors: no connection can be accepted.
            try Self.limitDescriptors(lab, to: 6)
            try lab.spawnPeer(.approved, "waiting", "call --to 10.77.1.1 --over tcp --wait 30000 v2 null")
            try await Task.sleep(for: .milliseconds(300))
            let before = try Self.processorTime(lab)
            try await Task.sleep(for: .seconds(2))
            let used = try Self.processorTime(lab) - before
            print("no descriptor at all: processor time in 2 s \(used)")
            #expect(used < .milliseconds(300), "waiting for descriptors must not spin")
            #expect(!lab.log("waiting").contains("reply"))
            #expect(try lab.ask(.approved, .null(.v2), over: .udp).body == .success([]), "UDP needs none")
            try Self.limitDescriptors(lab, to: 1024)
            try await eventually("who waited is answered") {
                lab.log("waiting").contains("reply from")
            }
            _ = try Self.allGetIn(lab)
        }

        // MARK: Observing

        /// Approved clients over both families, and this host, must be answered over TCP within a client's patience. Returns the longest time
        /// that an answer took.
        private static func allGetIn(_ lab: Lab) throws -> Duration {
            let askers: [(Lab.Host, String)] = [
                (.approved, "10.77.1.1"), (.approved, "fd77:1::1"), (.server, "127.0.0.1"),
            ]
            var slowest = Duration.zero
            for (host, server) in askers {
                let service = "--program 100000 --version 2 --service tcp"
                let output = try lab.peer(host, "storm --to \(server) --over tcp --count 1 --wait 10000 \(service)")
                let microseconds = output.text.firstMatch(of: /lookup-max-us=(\d+)/).flatMap { Int64($0.1) } ?? .max
                let elapsed = Duration.microseconds(microseconds)
                #expect(output.text.contains("ok=1 "), "\(host) asked \(server): \(output)")
                slowest = max(slowest, elapsed)
            }
            return slowest
        }

        private static func count(_ name: String, _ lab: Lab) throws -> Int {
            try lab.listing("status", as: StatusReport.self).counts[name] ?? -1
        }

        private static func processorTime(_ lab: Lab) throws -> Duration {
            let stat = try String(contentsOfFile: "/proc/\(lab.pid("daemon"))/stat", encoding: .utf8)
            // utime and stime, in hundredths of a second; the name may hold spaces.
            let fields = stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].split(separator: " ")
            return .milliseconds(10 * ((Int(fields[12]) ?? 0) + (Int(fields[13]) ?? 0)))
        }

        private static func highestDescriptor(_ lab: Lab) throws -> Int {
            let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(lab.pid("daemon"))/fd")
            return open.compactMap(Int.init).max() ?? 0
        }

        private static func limitDescriptors(_ lab: Lab, to count: Int) throws {
            // Changing the limit of a process of another user needs CAP_SYS_RESOURCE; therefore the process's own
            // user does it.
            let status = try String(contentsOfFile: "/proc/\(lab.pid("daemon"))/status", encoding: .utf8)
            let id = { (key: String) in
                let line = status.split(separator: "\n").first { $0.hasPrefix(key) }
                return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.map(String.init) ?? "0"
            }
            let output = try run([
                "setpriv", "--reuid", id("Uid:"), "--regid", id("Gid:"), "--clear-groups", "prlimit", "--pid",
                "\(lab.pid("daemon"))", "--nofile=\(count):",
            ])
            #expect(output.isSuccess, "\(output)")
        }
    }
}
