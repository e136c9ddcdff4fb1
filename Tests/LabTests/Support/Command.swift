import Foundation
import Glibc

/// The output and exit status of a finished command; a status of 128 or more means that a signal killed it.
struct Output: Sendable, CustomStringConvertible {
    var text: String
    var errors: String
    var status: Int32

    var isSuccess: Bool { status == 0 }
    /// timeout(1) ended the command.
    var isTimedOut: Bool { status == 124 || status == 137 }
    var lines: [String] { text.split(separator: "\n").map(String.init) }
    var description: String { "status \(status)\n\(text)\(errors)" }
}

struct CommandError: Error, CustomStringConvertible {
    var command: [String]
    var output: Output

    var description: String { "\(command.joined(separator: " ")): \(output)" }
}

/// Runs a command to its end.
///
/// The output goes to unlinked files: a pipe would also wait for the background processes that the command leaves.
func run(_ command: [String], environment: [String: String] = [:]) throws -> Output {
    let process = Process()
    if let program = program(named: command[0]) {
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = Array(command.dropFirst())
    } else {
        // It ends with 127.
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
    }
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let (output, errors) = (try UnlinkedFile(), try UnlinkedFile())
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output.handle
    process.standardError = errors.handle
    try process.run()
    process.waitUntilExit()
    let signal: Int32 = process.terminationReason == .uncaughtSignal ? 128 : 0
    return Output(text: try output.text(), errors: try errors.text(), status: process.terminationStatus + signal)
}

private func program(named name: String) -> String? {
    guard !name.contains("/") else { return access(name, X_OK) == 0 ? name : nil }
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return folders.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
}

private struct UnlinkedFile {
    let handle: FileHandle

    init() throws {
        guard let file = tmpfile() else { throw POSIXError(.EMFILE) }
        let descriptor = fcntl(fileno(file), F_DUPFD_CLOEXEC, 3)
        fclose(file)
        guard descriptor >= 0 else { throw POSIXError(.EMFILE) }
        handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }

    func text() throws -> String {
        try handle.seek(toOffset: 0)
        return String(decoding: try handle.readToEnd() ?? Data(), as: UTF8.self)
    }
}

struct Unfulfilled: Error, CustomStringConvertible {
    var description: String
}

/// Waits until `find` returns a value. The limit only ends a wait in vain: a machine may stand still for seconds.
///
/// It tries each 20 ms at first, and then less often, since what it tries mostly are commands.
func eventually<Found>(
    _ what: String, within limit: Duration = .seconds(30), _ find: () throws -> Found?
) async throws -> Found {
    let start = ContinuousClock.now
    while true {
        if let found = try find() { return found }
        let lasted = ContinuousClock.now - start
        guard lasted < limit else { throw Unfulfilled(description: "not within \(limit): \(what)") }
        try await Task.sleep(for: min(max(lasted / 8, .milliseconds(20)), .milliseconds(100)))
    }
}

func eventually(
    _ what: String, within limit: Duration = .seconds(30), _ holds: () throws -> Bool
) async throws {
    _ = try await eventually(what, within: limit) { try holds() ? true : nil }
}
