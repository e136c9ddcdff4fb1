import AuditTrail
import Clock
import Configuration
import Foundation
import System
import Testing

@testable import AuditLog

/// Real files, pipes and sockets that accept no data for a while.
@Suite("audit log, written by its thread")
struct AuditWritingTests {
    private static let time = Timestamp(milliseconds: 1_763_726_403_250)
    private let path = NSTemporaryDirectory() + "rpcwarden-audit-\(UUID().uuidString)"

    private func log(_ destination: Settings.Audit.Destination, queueBytesMax: Int = 4 << 20) throws -> AuditLog {
        var settings = Settings.Audit()
        settings.destination = destination
        settings.file = path
        return try AuditLog(AuditDestination(settings, journalPath: path), queueBytesMax: queueBytesMax)
    }

    private static func event(_ number: Int) -> AuditEvent {
        var event = AuditEvent(.denied, detail: String(repeating: "x", count: 200))
        event.xid = UInt32(number)
        return event
    }

    private func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    /// Polls `holds`; ten minutes only end a wait in vain. All tests run at once, and a poll may wait for them for a minute.
    private static func eventually(_ holds: () throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(600)
        while try !holds() {
            try #require(.now < deadline, "it never came")
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    private func remove() { for name in [path, path + ".1"] { unlink(name) } }

    @Test("a line is there within 10 ms, without anybody asking for it")
    func visible() async throws {
        defer { remove() }
        let log = try log(.file)
        // The fastest of several: other tests share the processor.
        var fastest = Duration.seconds(9)
        for number in 1...20 {
            let start = ContinuousClock.now
            log.write(Self.event(number), at: Self.time)
            try await Self.eventually { text(path).contains("\"xid\":\(number),") }
            fastest = min(fastest, .now - start)
        }
        #expect(fastest < .milliseconds(10))
    }

    @Test("a file that is rotated under it loses no line and tears none")
    func rotation() async throws {
        let old = path + ".old"
        defer { remove() }
        let log = try log(.file)
        var names: [String] = []
        defer { for name in names { unlink(name) } }
        for number in 0..<5000 {
            log.write(Self.event(number), at: Self.time)
            if number % 500 == 499 {
                names.append(old + "\(number)")
                #expect(rename(path, names[names.count - 1]) == 0)
                log.reopen()
                try await Self.eventually { FileManager.default.fileExists(atPath: path) }
            }
        }
        log.close()
        let all = (names + [path]).map(text).joined()
        let xids = try all.split(separator: "\n").map { line in
            try JSONDecoder().decode(Line.self, from: Data(line.utf8)).xid
        }
        #expect(xids == Array(0..<5000))
        #expect(names.allSatisfy { text($0).hasSuffix("\n") })
    }

    @Test(
        "a line that an earlier daemon left torn is ended; a whole one, and a new file, get no empty line",
        arguments: [("{\"ts\":\"20", "{\"ts\":\"20\n"), ("whole\n", "whole\n"), ("", "")])
    func tornLine(old: String, kept: String) throws {
        defer { remove() }
        try old.write(toFile: path, atomically: false, encoding: .utf8)
        let log = try log(.file)
        log.write(Self.event(1), at: Self.time)
        log.reopen()
        log.close()
        #expect(text(path).hasPrefix(kept + "{\"ts\":") && text(path).split(separator: "\n").count <= 2)
        #expect(!text(path).contains("\n\n"))
    }

    private struct Line: Decodable {
        var event: String
        var xid: Int?
        var count: Int?
        var detail: String?
    }

    @Test("a pipe that nobody reads stops nobody; what did not fit is told of exactly where it is missing")
    func unreadPipe() async throws {
        defer { remove() }
        #expect(mkfifo(path, 0o600) == 0)
        let reader = open(path, O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        let log = try log(.file, queueBytesMax: 100_000)
        let start = ContinuousClock.now
        for number in 0..<5000 { log.write(Self.event(number), at: Self.time) }
        // The pipe's 64 KiB and the queue hold about six hundred.
        #expect(.now - start < .seconds(60))
        #expect((3000..<5000).contains(log.lost))
        let lost = log.lost
        var bytes = Data()
        func readUntil(_ text: String) async throws {
            try await Self.eventually {
                bytes += readAll(reader)
                return bytes.suffix(400).contains(Data(text.utf8))
            }
        }
        try await readUntil("\"event\":\"suppressed\"")
        log.write(Self.event(5000), at: Self.time)
        try await readUntil("\"xid\":5000")
        let lines = try bytes.split(separator: 0x0a).map { try JSONDecoder().decode(Line.self, from: $0) }
        #expect(lines.count == 5000 - lost + 2)
        #expect(lines.prefix(5000 - lost).map(\.xid) == Array(0..<5000 - lost))
        let sum = try #require(lines.first { $0.event == "suppressed" })
        #expect(sum.count == lost && sum.detail == "the log could not be written: \(lost) lines lost")
        #expect(lines.last?.xid == 5000)
    }

    private func readAll(_ descriptor: Int32) -> Data {
        var data = Data()
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return data }
            data += chunk[..<count]
        }
    }

    @Test("a journal that nobody reads stops nobody, and gets every entry once it reads")
    func unreadJournal() async throws {
        defer { remove() }
        let journal = try Journal(at: path)
        let log = try log(.journal, queueBytesMax: 100_000)
        for number in 0..<2000 { log.write(Self.event(number), at: Self.time) }
        let lost = log.lost
        #expect((1000..<2000).contains(lost))
        var entries: [String] = []
        try await Self.eventually {
            while let entry = journal.read() { entries.append(entry) }
            return Self.told(entries).next == 2000
        }
        // Each gap is reported at its place.
        #expect(Self.told(entries) == (next: 2000, lost: lost))
    }

    /// The number of events 0, 1, 2… that the entries account for, each in order or as lost, and the number lost.
    private static func told(_ entries: [String]) -> (next: Int, lost: Int) {
        var (next, lost) = (0, 0)
        for entry in entries {
            let count = entry.split(separator: "\n").first { $0.hasPrefix("RPCWARDEN_COUNT=") }
            if let count, entry.contains("RPCWARDEN_EVENT=suppressed\n") {
                lost += Int(count.dropFirst("RPCWARDEN_COUNT=".count)) ?? 0
                next += Int(count.dropFirst("RPCWARDEN_COUNT=".count)) ?? 0
            } else {
                guard entry.contains("\nRPCWARDEN_XID=\(next)\n") else { return (-1, lost) }
                next += 1
            }
        }
        return (next, lost)
    }

    @Test("a journal that is started again gets the next entries")
    func restartedJournal() async throws {
        defer { remove() }
        var journal: Journal? = try Journal(at: path)
        let log = try log(.journal)
        journal = nil
        unlink(path)
        log.write(Self.event(1), at: Self.time)
        try await Task.sleep(for: .milliseconds(50))
        journal = try Journal(at: path)
        var entry: String?
        try await Self.eventually {
            entry = journal?.read()
            return entry != nil
        }
        #expect(entry?.contains("RPCWARDEN_XID=1\n") == true)
        #expect(log.lost == 0)
    }

    /// A stand-in for systemd-journald's socket.
    private final class Journal {
        private let descriptor: Int32

        init(at path: String) throws {
            descriptor = try UnixSocket.make(.datagram, waits: false)
            try UnixSocket.bind(descriptor, to: path)
        }

        deinit { close(descriptor) }

        func read() -> String? {
            var bytes = [UInt8](repeating: 0, count: 65_536)
            let count = recv(descriptor, &bytes, bytes.count, 0)
            return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
        }
    }

    @Test("the end waits for what is not written, but not for ever")
    func closing() throws {
        defer { remove() }
        #expect(mkfifo(path, 0o600) == 0)
        let reader = open(path, O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        let log = try log(.file)
        for number in 0..<1000 { log.write(Self.event(number), at: Self.time) }
        let start = ContinuousClock.now
        log.close(within: .milliseconds(200))
        #expect((Duration.milliseconds(200)..<Duration.seconds(60)).contains(.now - start))
        let written = readAll(reader).split(separator: 0x0a, omittingEmptySubsequences: false).count - 1
        #expect(written + log.lost == 1000 && written > 0)

        let quick = ContinuousClock.now
        let other = try self.log(.stderr)
        other.close()
        #expect(.now - quick < .seconds(60))
    }

    @Test("a full disk's lines are counted as lost at the end, and what did not even wait")
    func fullDisk() throws {
        var settings = Settings.Audit()
        settings.destination = .file
        settings.file = "/dev/full"
        let log = try AuditLog(AuditDestination(settings), queueBytesMax: 1000)
        for number in 0..<10 { log.write(Self.event(number), at: Self.time) }
        log.close(within: .milliseconds(150))
        #expect(log.lost >= 10)
    }
}
