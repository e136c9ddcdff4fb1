import Foundation
import Testing

/// The source of a manual page in mdoc(7), limited to the macros that rpcwarden's pages use.
struct Manual {
    struct Part {
        var title: String
        var lines: [String]
    }

    let name: String
    let lines: [String]

    static let pages = [
        "rpcwarden.8", "rpcwarden.yaml.5", "rpcwarden-policy.5", "rpcwarden-audit.5", "rpcwarden-fleet.8",
        "rpcwarden-fleet.yaml.5",
    ]

    init(_ name: String) throws {
        self.name = name
        lines = try Repository.text("man/\(name)").split(separator: "\n", omittingEmptySubsequences: false)
            .map(String.init)
    }

    /// The lines of a section, without its heading.
    func section(_ title: String) throws -> [String] {
        let start = try #require(lines.firstIndex(of: ".Sh \(title)"), "\(name) has no section \(title)")
        return lines[(start + 1)...].prefix { !$0.hasPrefix(".Sh ") }.map { $0 }
    }

    /// Splits the lines at those that begin with `macro`, which become titles; lines before the first are left
    /// out.
    static func parts(of lines: [String], at macro: String) -> [Part] {
        var parts: [Part] = []
        for line in lines {
            if line.hasPrefix(macro + " ") {
                parts.append(Part(title: String(line.dropFirst(macro.count + 1)), lines: []))
            } else if !parts.isEmpty {
                parts[parts.count - 1].lines.append(line)
            }
        }
        return parts
    }

    /// The literal displays among these lines.
    static func displays(in lines: [String]) -> [String] {
        var displays: [String] = []
        var display: [String]?
        for line in lines {
            if line.hasPrefix(".Bd -literal") {
                display = []
            } else if line == ".Ed", let text = display {
                displays.append(text.joined(separator: "\n") + "\n")
                display = nil
            } else {
                display?.append(line)
            }
        }
        return displays
    }

    /// The value behind `Default:`.
    static func defaultValue(in lines: [String]) -> String? {
        guard let place = lines.firstIndex(where: { $0.hasSuffix("Default:") }), place + 1 < lines.count else {
            return nil
        }
        let line = lines[place + 1]
        guard line.hasPrefix(".Li "), line.hasSuffix(" .") else { return nil }
        return String(line.dropFirst(4).dropLast(2)).replacing("\\(dq", with: "\"")
    }
}

/// The checkout that these tests were compiled from.
enum Repository {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../..").standardizedFileURL

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    static func names(in folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent(folder).path).sorted()
    }
}
