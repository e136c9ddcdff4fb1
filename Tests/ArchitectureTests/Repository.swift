import Foundation

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

    /// The Swift files below `folder`, as paths from the root.
    func swiftFiles(below folder: String) -> [String] {
        let names = FileManager.default.enumerator(atPath: root.appendingPathComponent(folder).path)?.compactMap {
            $0 as? String
        }
        return (names ?? []).filter { $0.hasSuffix(".swift") }.sorted().map { "\(folder)/\($0)" }
    }

    /// Each folder of `Sources` or `Tests` that holds Swift, with its files.
    func swiftTargets(in folder: String) throws -> [(name: String, files: [String])] {
        try FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent(folder).path).sorted()
            .map { ($0, swiftFiles(below: "\(folder)/\($0)")) }.filter { !$0.1.isEmpty }
    }
}
