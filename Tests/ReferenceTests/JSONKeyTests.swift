import Control
import Foundation
import HostPosture
import Probes
import Reports
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
        (
            "probe",
            ProbeRow(
                ProbeSubject(program: .nfs, version: 3, transport: .tcp), programName: "n", address: "a",
                .init(.open, port: 1, detail: "d"), time: .zero)
        ),
    ]

    private static let status = {
        var status = StatusReport(
            mode: "enforce", uptime: 1, version: "1", rpcbind: .init(reachable: true, registrations: 1),
            table: .init(name: "t", intact: true, guarded: 1), policy: .init(path: "p", rules: 1), counts: [:])
        status.modeAge = 1
        status.servers = [server]
        status.fleet = fleet
        return status
    }()

    private static let fleet = {
        var fleet = FleetReport()
        (fleet.fleet, fleet.node, fleet.nameShared, fleet.connected, fleet.since) = ("f", "n", true, true, "s")
        (fleet.foreignGrants, fleet.waitingGrants, fleet.foreignQuarantines, fleet.queue) = (1, 1, 1, 1)
        (fleet.group, fleet.serial, fleet.created, fleet.notAfter, fleet.expired) = ("g", 1, "c", "n", false)
        return fleet
    }()

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

    /// The report's document is not encoded from a type.
    private static func reportKeys() throws -> [String] {
        let surroundings = Report.Surroundings(
            created: .init(milliseconds: 0), version: "v", host: "h", sources: [])
        let json = Report(Tally(), surroundings).json
        let object = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any]
        return try #require(object).keys.map { $0 }
    }

    @Test("the page names each document's keys, and no others", arguments: documents.map(\.command) + ["report"])
    func keys(command: String) throws {
        let row = Self.documents.first { $0.command == command }?.row
        var keys = try row.map(Self.keys) ?? Self.reportKeys()
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
        #expect(real.map(\.commandName).sorted() == (Self.documents.map(\.command) + ["report"]).sorted())
    }
}
