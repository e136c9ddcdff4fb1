import Configuration
import Foundation
import Testing

@testable import PolicyFile

/// The sidecar's program and its file, as their pages and the schema describe them.
@Suite("rpcwarden-fleet(8), rpcwarden-fleet.yaml(5)") struct FleetPageTests {
    private static let endpoint = "endpoints: [\"https://a\"]"

    @Test("the defaults of the page are the program's")
    func defaults() throws {
        let values = try DescribedKey.all(in: .sidecar).compactMap { key in
            key.defaultValue.map { (path: key.path, value: $0) }
        }
        #expect(values.count == 4)
        let document = FileFormat.document(values + [(path: "etcd.endpoints", value: "[\"https://a\"]")])
        let parsed = ParsedSidecarConfiguration(SourceFile(name: "f.yaml", text: document))
        #expect(parsed.diagnostics == [])
        var expected = SidecarSettings()
        expected.store.endpoints = [SidecarSettings.Endpoint(host: "a", port: 2379)]
        #expect(parsed.settings == expected)
    }

    @Test("the page's synopsis has each command of the program with its options, and its text describes them")
    func commands() throws {
        let page = try Manual("rpcwarden-fleet.8")
        let lines = try page.section("SYNOPSIS")
        let synopses = lines.split(separator: ".Nm").map { Array($0) }
        let entries = Manual.parts(of: try page.section("COMMANDS"), at: ".It Cm")
        let commands = try BuiltProgram.commands(of: BuiltProgram.fleetPath)
        #expect(commands.count == 11)
        #expect(
            synopses.compactMap { $0.first.map { String($0.dropFirst(".Cm ".count)) } }.sorted()
                == commands.map(\.commandName).sorted())
        for command in commands {
            let synopsis = try #require(synopses.first { $0.first == ".Cm \(command.commandName)" }, "\(command)")
            let shown = synopsis.compactMap(Self.option)
            #expect(shown.sorted() == command.options.compactMap(\.longName).sorted(), "\(command.commandName)")
            let entry = try #require(entries.first { $0.title == command.commandName }, "\(command.commandName)")
            let told = entry.lines.filter { $0.hasPrefix(".It Fl") }.compactMap(Self.option)
            let own = command.options.compactMap(\.longName).filter { $0 != "config" }
            #expect(told.sorted() == own.sorted(), "\(command.commandName)")
        }
    }

    /// The name in `.Op Fl Fl port Ar port`, `.Fl Fl key Ar file` and `.It Fl Fl json`.
    private static func option(_ line: String) -> String? {
        line.firstMatch(of: /Fl Fl ([a-z-]+)/).map { String($0.output.1) }
    }

    @Test("serve ends with 2 for a mistake in the configuration, after which the unit leaves it, and else with 1")
    func status() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("fleet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (ca, file) = (folder.path + "/ca.pem", folder.path + "/fleet.yaml")
        let made = try run([
            "openssl", "req", "-x509", "-nodes", "-days", "30", "-subj", "/O=ca", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-keyout", folder.path + "/ca.key", "-out", ca,
        ])
        try #require(made.status == 0, "\(made)")
        func serve(_ text: String) throws -> Output {
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            return try run([BuiltProgram.fleetPath, "serve", "--config", file])
        }
        let settings = "etcd: {\(Self.endpoint), ca: \(ca)}\nnode: nas1\ncontrol: "
        let missing = try serve(settings + "\(folder.path)/no/folder/x.sock\n")
        #expect(missing.status == 1 && missing.errors.contains("No such file"), "\(missing)")
        let mistake = try serve(settings + "relative\n")
        #expect(mistake.status == 2, "\(mistake)")
    }
}
