import Foundation

/// One lab of scripts/lab.
struct Lab {
    let name: String
    let script: String

    var state: String { "/tmp/rpcwarden-lab.\(name)" }

    func control(_ words: String...) throws { try execute([script] + words, environment: ["LAB": name]) }

    func spawn(_ process: String, on host: String = "server", _ command: [String]) throws {
        try execute([script, "spawn", host, process, "--"] + command, environment: ["LAB": name])
    }

    /// Runs a command in the server, with its mounts.
    @discardableResult
    func serverRuns(_ command: [String]) throws -> String {
        try execute([script, "exec", "server", "--"] + command, environment: ["LAB": name])
    }

    func write(_ text: String, to file: String) throws {
        try text.write(toFile: "\(state)/\(file)", atomically: false, encoding: .utf8)
    }

    func pid(_ process: String) throws -> Int32 {
        guard let pid = Int32(contents("\(state)/\(process).pid").trimmed) else {
            throw Unfulfilled(description: "\(process) does not run")
        }
        return pid
    }

    func awaitLine(_ line: String, of process: String) throws {
        do {
            try eventually("\(process) says \(line)") {
                guard kill(try pid(process), 0) == 0 else { throw Unfulfilled(description: "\(process) has ended") }
                return contents("\(state)/\(process).log").contains(line)
            }
        } catch {
            throw Unfulfilled(description: "\(error)\n\(contents("\(state)/\(process).log"))")
        }
    }

    /// The prefix of a command that runs in a host's network namespace.
    func entry(_ host: String) -> [String] { ["nsenter", "--net=/run/netns/\(name)-\(host)"] }
}
