import Dispatch
import Foundation

struct CommandError: Error, CustomStringConvertible {
    var command: [String]
    var status: Int32
    var errors: String

    var description: String { "\(command.joined(separator: " ")): status \(status): \(errors.trimmed)" }
}

/// Runs a command to its end; it must succeed.
@discardableResult
func execute(_ command: [String], environment: [String: String] = [:]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let (output, errors) = (Pipe(), FileManager.default.temporaryFile())
    defer { errors.remove() }
    process.standardOutput = output
    process.standardError = errors.handle
    process.standardInput = FileHandle.nullDevice
    // `waitUntilExit` polls only every 50 ms.
    let ended = DispatchSemaphore(value: 0)
    process.terminationHandler = { _ in ended.signal() }
    try process.run()
    let text = output.fileHandleForReading.readDataToEndOfFile()
    ended.wait()
    guard process.terminationStatus == 0 else {
        throw CommandError(command: command, status: process.terminationStatus, errors: contents(errors.path))
    }
    return String(decoding: text, as: UTF8.self)
}

/// The same, with the output written to a file.
func execute(_ command: [String], into path: String) throws {
    try execute(["sh", "-c", "file=$1; shift; exec \"$@\" >\"$file\"", "sh", path] + command)
}

struct TemporaryFile {
    var path: String
    var handle: FileHandle

    func remove() { unlink(path) }
}

extension FileManager {
    func temporaryFile() -> TemporaryFile {
        var template = Array("/tmp/rpcwarden-bench.XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return TemporaryFile(path: path, handle: FileHandle(fileDescriptor: descriptor, closeOnDealloc: true))
    }
}

struct Unfulfilled: Error, CustomStringConvertible { var description: String }

/// Waits until the condition holds.
func eventually(_ what: String, seconds: Double = 20, _ isSo: () throws -> Bool) throws {
    let end = Date().addingTimeInterval(seconds)
    while try !isSo() {
        guard Date() < end else { throw Unfulfilled(description: "\(what): not within \(seconds) s") }
        usleep(2000)
    }
}
