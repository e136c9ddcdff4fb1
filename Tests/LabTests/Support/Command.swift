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
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
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

/// Waits until `find` returns a value; tries every 20 ms. The limit only ends a wait in vain: a machine may stand still for
/// seconds.
func eventually<Found>(
    _ what: String, within limit: Duration = .seconds(30), _ find: () throws -> Found?
) async throws -> Found {
    let deadline = ContinuousClock.now + limit
    while true {
        if let found = try find() { return found }
        guard ContinuousClock.now < deadline else {
            throw Unfulfilled(description: "not within \(limit): \(what)")
        }
        try await Task.sleep(for: .milliseconds(20))
    }
}

func eventually(
    _ what: String, within limit: Duration = .seconds(30), _ holds: () throws -> Bool
) async throws {
    _ = try await eventually(what, within: limit) { try holds() ? true : nil }
}
