import Foundation
import Testing

/// The checkout that these tests were compiled from.
struct Repository {
    let root: URL

    init(testFile: String = #filePath) {
        root = URL(fileURLWithPath: testFile).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
    }

    func text(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    /// What the program says.
    func version() throws -> String {
        let source = try text("Sources/Shells/System/Version.swift")
        return String(try #require(source.firstMatch(of: /static let text = "([^"]+)"/)).1)
    }

    /// The files of a folder, as paths from the root.
    func files(of folder: String, ending: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent(folder).path)
            .filter { $0.hasSuffix(ending) }.sorted().map { folder.isEmpty ? $0 : "\(folder)/\($0)" }
    }

    /// The Swift files below `folder`, as paths from the root.
    func swiftFiles(below folder: String) -> [String] {
        let names = FileManager.default.enumerator(atPath: root.appendingPathComponent(folder).path)?.compactMap {
            $0 as? String
        }
        return (names ?? []).filter { $0.hasSuffix(".swift") }.sorted().map { "\(folder)/\($0)" }
    }

    /// Folders that contain folders of targets.
    private static let floors: Set<String> = ["Ground", "Core", "Shells"]
    /// Targets with a name other than their folder's.
    private static let names = ["Commands": "rpcwarden", "FleetCommands": "rpcwarden-fleet"]

    /// Each target in `Sources` or `Tests` that contains Swift files, with its files.
    func swiftTargets(in folder: String) throws -> [(name: String, files: [String])] {
        let places = try entries(of: folder).flatMap { name in
            Self.floors.contains(name)
                ? try entries(of: "\(folder)/\(name)").map { "\(folder)/\(name)/\($0)" } : ["\(folder)/\(name)"]
        }
        return places.map { place in
            let name = place.split(separator: "/").last.map(String.init) ?? place
            return (Self.names[name] ?? name, swiftFiles(below: place))
        }.filter { !$0.1.isEmpty }
    }

    private func entries(of folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent(folder).path).sorted()
    }
}
