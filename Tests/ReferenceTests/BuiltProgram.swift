import Foundation
import Testing

/// The output and status of a finished command.
struct Output: CustomStringConvertible {
    var text: String
    var errors: String
    var status: Int32

    var description: String { "status \(status)\n\(text)\(errors)" }
}

/// Runs a command of PATH, or a path, with `input` on its stdin.
func run(_ command: [String], input: String = "") throws -> Output {
    let folder = URL(fileURLWithPath: NSTemporaryDirectory()).appendingPathComponent("rpcwarden-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    let paths = ["in", "out", "err"].map { folder.appendingPathComponent($0) }
    try input.write(to: paths[0], atomically: false, encoding: .utf8)
    for path in paths[1...] { try Data().write(to: path) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.standardInput = try FileHandle(forReadingFrom: paths[0])
    process.standardOutput = try FileHandle(forWritingTo: paths[1])
    process.standardError = try FileHandle(forWritingTo: paths[2])
    try process.run()
    process.waitUntilExit()
    let texts = try paths[1...].map { String(decoding: try Data(contentsOf: $0), as: UTF8.self) }
    return Output(text: texts[0], errors: texts[1], status: process.terminationStatus)
}

/// The rpcwarden program that was built with these tests.
enum BuiltProgram {
    static let folder: String = {
        let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        // Under `swift test` the process is swiftpm-testing-helper; its arguments name the test bundle.
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? own ?? "."
        return URL(fileURLWithPath: bundle).deletingLastPathComponent().path
    }()

    static var path: String { folder + "/rpcwarden" }

    /// A command, in argument-parser's description.
    struct Command: Decodable {
        struct Argument: Decodable {
            struct Name: Decodable {
                var kind: String
                var name: String
            }

            var kind: String
            var names: [Name]?
            var valueName: String?
            var isOptional: Bool

            var longName: String? { names?.first { $0.kind == "long" }?.name }
        }

        var commandName: String
        var arguments: [Argument]?
        var subcommands: [Command]?

        /// The command's own options; every command takes the others.
        var options: [Argument] {
            (arguments ?? []).filter { $0.longName != nil && !["help", "version"].contains($0.longName) }
        }
        var hasPositional: Bool { (arguments ?? []).contains { $0.kind == "positional" } }
    }

    static var fleetPath: String { folder + "/rpcwarden-fleet" }

    static func commands(of path: String = path) throws -> [Command] {
        struct Dump: Decodable { var command: Command }
        let output = try run([path, "--experimental-dump-help"])
        try #require(output.status == 0, "\(output)")
        let command = try JSONDecoder().decode(Dump.self, from: Data(output.text.utf8)).command
        return try #require(command.subcommands).flatMap { command in
            // `guard load` is a command; `guard`, which only has subcommands, is not.
            (command.subcommands ?? []).filter { $0.commandName != "help" }.map { each in
                var each = each
                each.commandName = "\(command.commandName) \(each.commandName)"
                return each
            } + (command.subcommands == nil ? [command] : [])
        }
    }
}

/// Whether the lab's packages are required, as scripts/test promises.
let areToolsWanted = ProcessInfo.processInfo.environment["RPCWARDEN_LAB"] == "1"
