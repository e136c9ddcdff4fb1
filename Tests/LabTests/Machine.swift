import Foundation
import Testing

/// A machine of scripts/machine: Debian 12 with the real systemd, at 10.99.0.1; outside of it are 10.99.0.2 and others.
final class Machine: Sendable {
    let name: String
    private let script = Recipe.root.appendingPathComponent("scripts/machine").path

    /// - Parameter name: up to five letters.
    init(_ name: String) throws {
        self.name = "\(name)\(getpid() % 100_000)"
        // The first one of all makes the image, which takes a minute or two.
        _ = try checked(["bash", "-c", Self.withoutDescriptors, "bash", script, "start", self.name])
    }

    /// Foundation waits for the end of a process by a descriptor, which the machine would inherit.
    private static let withoutDescriptors = """
        for each in /proc/self/fd/*; do
            number=${each##*/}
            if ((number > 2)); then eval "exec $number>&-"; fi
        done
        exec "$@"
        """

    func stop() {
        do {
            _ = try checked([script, "stop", name])
        } catch {
            Issue.record(error, "the machine can't be stopped")
        }
    }

    func inside(_ command: String...) throws -> Output { try Self.timed([script, "run", name, "--"] + command) }

    func outside(_ command: String...) throws -> Output {
        try Self.timed([script, "outside", name, "--", "timeout", "--signal=KILL", "3"] + command)
    }

    /// A script, of which each command must succeed.
    @discardableResult
    func shell(_ text: String, in folder: String = "/") throws -> String {
        try checked([script, "run", name, "--", "sh", "-ec", "cd \(folder)\n\(text)"])
    }

    /// Files of this host, at the same place there.
    func copy(_ files: [String]) throws {
        let list = files.map { "'\($0)'" }.joined(separator: " ")
        _ = try checked(["sh", "-ec", "tar -C / -chf - \(list) | '\(script)' run \(name) -- tar -C / -xf -"])
    }

    private func checked(_ command: [String]) throws -> String {
        let output = try Self.timed(command)
        guard output.isSuccess else { throw CommandError(command: command, output: output) }
        return output.text
    }

    private static func timed(_ command: [String]) throws -> Output {
        try run(["timeout", "--kill-after=5", "600"] + command)
    }
}
