import Foundation
import Testing

/// A terminal as a user has it: a shell in tmux, in the lab's server.
struct Tmux {
    let lab: Lab
    private let socket: String

    static var isInstalled: Bool { Contrib.isInstalled("tmux") }

    /// - Parameter environment: variables of the shell, as `NAME=value`.
    init(_ lab: Lab, columns: Int = 80, rows: Int = 24, environment: [String] = []) async throws {
        self.lab = lab
        socket = "\(lab.state)/tmux.\(UInt32.random)"
        let shell = ["env", "-u", "NO_COLOR"] + environment + ["PS1=READY> ", "bash", "--norc", "--noprofile"]
        // tmux's server inherits the open descriptors of its starter, and a test would wait until they are closed.
        // No user's configuration is read; -u: tmux must output UTF-8.
        try lab.spawn(
            .server, "tmux.\(UInt32.random)",
            [
                "env", "-u", "TMUX", "LC_ALL=C.UTF-8", "tmux", "-u", "-f", "/dev/null", "-S", socket, "new-session",
                "-d", "-x", "\(columns)", "-y", "\(rows)",
            ] + shell)
        try await eventually("tmux runs") { try lab.exec(.server, "tmux", "-S", socket, "has-session").isSuccess }
        try run("set-option", "-g", "status", "off")
        try await shows("READY>")
    }

    /// Call this at the end.
    func kill() {
        do { try run("kill-server") } catch { Issue.record(error) }
    }

    @discardableResult
    func run(_ arguments: String...) throws -> String {
        let output = try lab.exec(.server, ["tmux", "-S", socket] + arguments)
        guard output.isSuccess else { throw CommandError(command: ["tmux"] + arguments, output: output) }
        return output.text
    }

    func type(_ line: String) throws {
        try run("send-keys", "-l", line)
        try press("Enter")
    }

    func press(_ key: String) throws { try run("send-keys", key) }

    func resize(_ columns: Int, _ rows: Int) throws { try run("resize-window", "-x", "\(columns)", "-y", "\(rows)") }

    /// The screen's lines, without trailing spaces.
    func screen() throws -> [String] {
        var lines = try run("capture-pane", "-p").split(separator: "\n", omittingEmptySubsequences: false).map(
            String.init)
        lines.removeLast()
        return lines
    }

    /// The same, with colours as escape sequences.
    func colouredScreen() throws -> String { try run("capture-pane", "-p", "-e") }

    /// Three digits, 1 for on and 0 for off: alternate screen, cursor, and wrapping at the margin.
    func modes() throws -> String {
        try run("display-message", "-p", "#{alternate_on}#{cursor_flag}#{wrap_flag}").trimmingCharacters(in: .newlines)
    }

    @discardableResult
    func shows(_ text: String, within limit: Duration = .seconds(30)) async throws -> [String] {
        try await shows("\"\(text)\"", within: limit) { lines in lines.contains { $0.contains(text) } }
    }

    @discardableResult
    func shows(
        _ what: String, within limit: Duration = .seconds(30), _ matches: ([String]) throws -> Bool
    ) async throws -> [String] {
        var last: [String] = []
        do {
            return try await eventually(what, within: limit) {
                last = try screen()
                return try matches(last) ? last : nil
            }
        } catch let error as Unfulfilled {
            throw Unfulfilled(description: "\(error)\n\(last.joined(separator: "\n"))\n\(lab.log("daemon"))")
        }
    }
}
