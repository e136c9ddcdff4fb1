import Control
import Foundation
import HostPosture
import Testing

@Suite("rpcwarden(8): what --json prints")
struct JSONKeyTests {
    private static let documents: [(command: String, row: any Encodable & Sendable)] = [
        (
            "status", status
        ),
        (
            "grants", grantRow
        ),
        (
            "registry", registryRow
        ),
        (
            "denials",
            DenialRow(client: "c", reasons: [], programs: [], count: 1, first: "f", last: "l", quarantined: true)
        ),
        ("doctor", Finding("f", .low, what: "w", why: "y")),
    ]

    private static let status = {
        var status = StatusReport(
            mode: "enforce", uptime: 1, version: "1", rpcbind: .init(reachable: true, registrations: 1),
            table: .init(name: "t", intact: true, guarded: 1), policy: .init(path: "p", rules: 1), counts: [:])
        status.servers = [server]
        status.fleet = fleet
        return status
    }()

    private static let fleet = FleetReport(
        fleet: "f", group: "g", serial: 1, created: "c", notAfter: "n", expired: false)

    private static let server = ServerReport(name: "n", rpcbind: "up", since: "s")

    private static let grantRow = {
        var row = GrantRow(
            client: "c", transport: "tcp", port: 1, program: 1, programName: "n", rule: "r", issued: "i",
            expires: "e", packets: 1)
        row.server = "s"
        return row
    }()

    private static let registryRow = {
        var row = RegistryRow(
            program: 1, programName: "n", version: 1, netid: "tcp", address: "a", owner: "o", trusted: true,
            alive: true, guarded: true)
        row.sharesPortWith = [2]
        row.server = "s"
        return row
    }()

    @Test("the page names each document's keys, and no others", arguments: documents.map(\.command))
    func keys(command: String) throws {
        let row = try #require(Self.documents.first { $0.command == command }?.row)
        var keys = try Self.keys(of: row)
        if command == "status" { keys += try Self.keys(of: Self.server) + Self.keys(of: Self.fleet) }
        let entries = Manual.parts(of: try Manual("rpcwarden.8").section("COMMANDS"), at: ".It Cm")
        let entry = try #require(entries.first { $0.title == command })
        let option = try #require(Manual.parts(of: entry.lines, at: ".It Fl Fl").first { $0.title == "json" })
        let named = option.lines.filter { $0.hasPrefix(".Li ") }.flatMap { $0.split(separator: " ").dropFirst() }
            .filter { ![",", "."].contains($0) }.map(String.init)
        #expect(named.sorted() == keys.sorted())
    }

    private static func keys(of row: any Encodable) throws -> [String] {
        let object = try JSONSerialization.jsonObject(with: try JSONEncoder().encode(row)) as? [String: Any]
        return try #require(object).keys.map { $0 }
    }

    @Test("every command with --json is among them")
    func commands() throws {
        let real = try BuiltProgram.commands().filter { $0.options.contains { $0.longName == "json" } }
        #expect(real.map(\.commandName).sorted() == Self.documents.map(\.command).sorted())
    }
}
