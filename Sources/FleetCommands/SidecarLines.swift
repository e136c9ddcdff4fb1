import ArgumentParser
import Configuration
import Console
import Control
import FleetRecords
import Glibc
import PolicyFile
import System

/// How the running sidecar is found.
struct SidecarOption: ParsableArguments {
    @OptionGroup var configuration: ConfigurationOption

    @Option(
        help: ArgumentHelp("The sidecar's control socket (default: that of the configuration).", valueName: "path"),
        completion: .file())
    var socket: String?

    /// Asks, and hands each line of the answer on, as it was sent and read.
    func ask(_ question: SidecarQuestion, told: ([UInt8], JSONObject) throws -> Void) throws {
        let configured = ParsedSidecarConfiguration(path: configuration.path ?? ParsedSidecarConfiguration.path)
        let path = socket ?? configured.settings.controlPath
        var isWhole = question == .status
        do {
            try LineClient(path: path).ask(question.line) { line in
                guard let object = JSONObject(line, bytesMax: SidecarQuestion.lineBytesMax) else {
                    throw Errno(EBADMSG)
                }
                if let failure = object.text("failure") { throw CommandFailure.usage(failure) }
                guard !object.names.isEmpty else {
                    isWhole = true
                    return
                }
                try told(line, object)
            }
        } catch let error as Errno {
            throw CommandFailure(message: Self.text(error, path), code: ExitStatus.unreachable)
        }
        guard isWhole else {
            throw CommandFailure(message: "the sidecar at \(path) gave no whole answer", code: ExitStatus.unreachable)
        }
    }

    private static func text(_ error: Errno, _ path: String) -> String {
        error.code == EACCES
            ? "can't open \(path): \(error); run the command as root, or as a member of the socket's group"
            : "can't reach the sidecar at \(path): \(error); is rpcwarden-fleet.service running?"
    }
}

extension JSONObject {
    /// A member as a table shows it.
    func cell(_ name: String) -> String {
        text(name) ?? number(name).map { "\($0)" } ?? flag(name).map { $0 ? "yes" : "no" } ?? "-"
    }
}

/// A list of the sidecar's, as a table or as one JSON document.
struct Listing {
    var question: SidecarQuestion
    /// The heading and the member of each column.
    var columns: [(heading: String, member: String)]

    func run(_ sidecar: SidecarOption, asJSON: Bool) throws {
        var rows: [[String]] = []
        var count = 0
        try sidecar.ask(question) { line, object in
            guard asJSON else { return rows.append(columns.map { object.cell($0.member) }) }
            print((count == 0 ? "[" : ",\n ") + String(decoding: line, as: UTF8.self), terminator: "")
            count += 1
        }
        guard asJSON else { return Table(heading: columns.map(\.heading), rows).show() }
        print(count == 0 ? "[]" : "]")
    }
}
