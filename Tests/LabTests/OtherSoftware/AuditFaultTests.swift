import Foundation
import Testing

extension LabTests {
    @Suite("An audit log that can't be written")
    struct AuditFaultTests {
        /// A rule with a long name, which makes lines of 1.5 KB, so that few lines fill the log's queue.
        private static let policy = Policies.echoes()
            .replacing("approved clients use the echoes", with: String(repeating: "🎉", count: 100))

        private static let lookups = 2000

        /// `count` lookups, each from its own source address; all must be answered.
        /// - Returns: the median in microseconds.
        @discardableResult
        private static func lookUp(_ lab: Lab, from net: Int, count: Int = lookups) throws -> Int {
            let output = try lab.peer(
                .approved,
                "storm --to 10.77.1.1 --over udp --count \(count) --program \(Echo.programs[0]) --version 1"
                    + " --service tcp --sources 10.78.\(net).1/\(count) --parallel 4 --wait 2000", seconds: 30)
            #expect(
                output.text.contains("ok=\(count) refused=0 timeout=0 unanswered=0 denied=0"),
                "all are answered: \(output)")
            return Int(output.text.firstMatch(of: /lookup-median-us=(\d+)/)?.1 ?? "") ?? -1
        }

        /// Looks up while the log is writable, then while it is not: clients must see no difference.
        private static func compare(_ lab: Lab, _ fail: () throws -> Void = {}) throws {
            let usual = try lookUp(lab, from: 10, count: 200)
            try fail()
            let failing = try lookUp(lab, from: 20)
            #expect(failing < 3 * usual + 3000, "median \(usual) µs, and with a log that fails \(failing) µs")
        }

        @Test(
            "a full disk: calls go on; when there is space again, what fits is there and the rest is counted",
            .lab(.rpcbind))
        func fullDisk() async throws {
            let lab = try Lab.current
            let folder = "\(lab.state)/disk"
            let prepare = "mkdir \(folder) && mount -t tmpfs -o size=16m tmpfs \(folder)"
            #expect(try lab.exec(.server, "sh", "-c", prepare).isSuccess)
            try await lab.serve(audit: "{to: file, file: \(folder)/audit.jsonl}", policy: Self.policy)
            try await lab.start(Echo())
            try Self.compare(lab) {
                let fill = "cat /dev/zero >\(folder)/filler 2>/dev/null; df --output=avail \(folder)"
                let left = try lab.exec(.server, "sh", "-c", fill)
                #expect(left.lines.last?.hasSuffix(" 0") == true)
            }
            #expect(try lab.counts()["audit_lost", default: 0] > 0, "the queue was too large for this test")
            let complaint = "No space left on device"
            #expect(lab.log("daemon").components(separatedBy: complaint).count == 2, "said once a minute")

            // Rotated while the disk is full: the part of a line that was written to the full disk is removed.
            let log = "\(folder)/audit.jsonl"
            #expect(try lab.exec(.server, "mv", log, log + ".1").isSuccess)
            try lab.kill("daemon", "HUP")
            try await eventually("the log is opened anew") { try lab.exec(.server, "test", "-e", log).isSuccess }
            let old = try lab.exec(.server, "cat", log + ".1").text
            #expect(old.isEmpty || old.hasSuffix("\n"), "torn: \(old.suffix(100))")

            #expect(try lab.exec(.server, "rm", "\(folder)/filler").isSuccess)
            let records = try await eventually("the loss is told of") {
                let records = try AuditRecord.records(in: old + lab.exec(.server, "cat", log).text)
                return records.contains { $0.event == .suppressed } ? records : nil
            }
            let counts = try lab.counts()
            let lost = counts["audit_lost", default: 0]
            // The reload's event found no room either.
            try Self.isExact(records, counts, others: 1)
            #expect(
                records.first { $0.event == .suppressed }?.detail
                    == "the log could not be written: \(lost) lines lost")
        }

        @Test(
            "stderr that nobody reads: calls go on, all is there or counted once it is read, and the end is not held up",
            .lab(.rpcbind))
        func unreadPipe() async throws {
            let lab = try Lab.current
            let fifo = "\(lab.state)/fifo"
            #expect(mkfifo(fifo, 0o600) == 0)
            try await lab.serve(
                audit: "{to: stderr}", policy: Self.policy, through: ["sh", "-c", "exec \"$@\" 2<>\(fifo)", "sh"])
            try await lab.start(Echo())
            try Self.lookUp(lab, from: 20)
            let counts = try lab.counts()
            let lost = counts["audit_lost", default: 0]
            #expect(lost > 0, "the queue was too large for this test")
            try lab.spawn(.server, "reader", ["cat", fifo])
            let records = try await eventually("the loss is told of") {
                let text = lab.log("reader").split(separator: "\n", omittingEmptySubsequences: false)
                    .filter { !$0.hasPrefix("rpcwarden: ") }.joined(separator: "\n")
                let records = try AuditRecord.records(in: text)
                return records.contains { $0.event == .suppressed } ? records : nil
            }
            try Self.isExact(records, counts)

            // The sink is stuck again, and the daemon is told to end.
            try lab.kill("reader")
            try Self.lookUp(lab, from: 40, count: 100)
            let start = ContinuousClock.now
            try lab.kill("daemon")
            #expect((Duration.seconds(1.9)..<Duration.seconds(4)).contains(.now - start), "\(.now - start)")
        }

        @Test(
            "a journal that nobody reads: calls go on, and every entry is there once it reads", .lab(.rpcbind))
        func unreadJournal() async throws {
            let lab = try Lab.current
            try await lab.startJournal()
            try await lab.serve(audit: "{to: journal}", policy: Self.policy)
            try await lab.start(Echo())
            try Self.lookUp(lab, from: 20, count: 300)
            let counts = try lab.counts()
            #expect(counts["audit_lost"] == 0)
            #expect(lab.journalEntries().isEmpty)
            try lab.readJournal()
            let lookups = counts["permitted", default: 0] + counts["granted", default: 0]
            try await eventually("every entry is there") {
                lab.journalEntries().count {
                    $0.contains("RPCWARDEN_EVENT=permitted") || $0.contains("RPCWARDEN_EVENT=granted")
                } == lookups
            }
        }

        /// The written events and the ones counted as lost add up to all events.
        private static func isExact(_ records: [AuditRecord], _ counts: [String: Int], others: Int = 0) throws {
            let sum = AuditSum(records)
            #expect(sum.suppressed == counts["audit_lost"], "\(sum) \(counts)")
            let lookups = counts["permitted", default: 0] + counts["granted", default: 0]
            #expect(sum.lookups == lookups + others, "\(sum) \(counts)")
            #expect(counts["audit_suppressed"] == 0, "the rate limit is tested elsewhere")
        }
    }
}
