import Addresses
import AuditTrail
import Clock
import Foundation
import Testing

@testable import AuditLog

@Suite("the journal's catalog")
struct CatalogTests {
    private static let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../../systemd/rpcwarden.catalog").standardizedFileURL.path

    /// The entries by their id, each as its lines.
    private static func entries() throws -> [String: [String]] {
        let text = try String(contentsOfFile: file, encoding: .utf8)
        var entries: [String: [String]] = [:]
        for entry in text.components(separatedBy: "\n-- ").dropFirst() {
            let lines = entry.components(separatedBy: "\n")
            #expect(entries.updateValue(Array(lines.dropFirst()), forKey: lines[0]) == nil, "\(lines[0]) twice")
        }
        return entries
    }

    @Test("every kind of event has an id of its own, and an entry with a subject and a text")
    func complete() throws {
        let entries = try Self.entries()
        for kind in AuditEvent.Kind.allCases {
            let id = kind.messageID
            #expect(id.count == 32 && id.allSatisfy { $0.isHexDigit && !$0.isUppercase }, "\(kind)")
            let lines = try #require(entries[id], "\(kind) has no entry")
            #expect(lines[0].hasPrefix("Subject: ") && lines.dropFirst(4).contains { !$0.isEmpty }, "\(kind)")
        }
        #expect(Set(AuditEvent.Kind.allCases.map(\.messageID)) == Set(entries.keys))
    }

    @Test("names no field that entries don't have")
    func fields() throws {
        var event = AuditEvent(.denied, detail: "d")
        event.client = .v4(1)
        event.port = 1
        event.transport = .tcp
        event.program = .nfs
        event.programName = "nfs"
        event.version = 3
        event.procedure = "getport"
        event.reason = .noRule
        event.rule = "r"
        event.xid = 1
        event.granted = ServicePort(.tcp, 1)
        event.count = 1
        event.window = .seconds(1)
        let keys = AuditField.fields(of: event, at: Timestamp(milliseconds: 0)).map(\.key)
        let known = Set(keys.map { "@RPCWARDEN_\($0.uppercased())@" })
        let text = try String(contentsOfFile: Self.file, encoding: .utf8)
        for match in text.matches(of: /@\w+@/) { #expect(known.contains(String(match.output)), "\(match.output)") }
    }

    @Test("journalctl takes it", .enabled(if: isJournalctlInstalled, "needs journalctl"))
    func journalctlTakesIt() throws {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("rpcwarden-catalog.\(UUID())").path
        defer { _ = try? FileManager.default.removeItem(atPath: root) }
        for folder in ["usr/lib/systemd/catalog", "var/lib/systemd/catalog"] {
            try FileManager.default.createDirectory(
                atPath: "\(root)/\(folder)", withIntermediateDirectories: true)
        }
        try FileManager.default.copyItem(
            atPath: Self.file, toPath: "\(root)/usr/lib/systemd/catalog/rpcwarden.catalog")
        #expect(try Self.runJournalctl("--root=\(root)", "--update-catalog").status == 0)
        let list = try Self.runJournalctl("--root=\(root)", "--list-catalog")
        let lines = list.text.split(separator: "\n").filter { $0.contains(" rpcwarden: ") }
        #expect(list.status == 0 && lines.count == AuditEvent.Kind.allCases.count, "\(list.text)")
        for kind in AuditEvent.Kind.allCases {
            #expect(lines.contains { $0.hasPrefix(kind.messageID) }, "\(kind)")
        }
    }

    private static func runJournalctl(_ arguments: String...) throws -> (text: String, status: Int32) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: journalctl)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (String(decoding: data, as: UTF8.self), process.terminationStatus)
    }
}

private let journalctl = "/usr/bin/journalctl"
private let isJournalctlInstalled = FileManager.default.isExecutableFile(atPath: journalctl)
