import Foundation
import Glibc
import Synchronization
import Testing

/// One lab of scripts/lab, with the daemon in its server; see `scripts/lab help` for hosts and addresses.
final class Lab: Sendable {
    enum Host: String, Sendable {
        case server
        case approved
        case limited
        case stranger
        /// A second server, after `lab spare`.
        case spare
        /// A server behind the server, after `lab filer`.
        case filer
        /// The server, in rpcbind's own network namespace.
        case rpcbind
    }

    @TaskLocal static var ofThisTest: Lab?

    /// The lab that the ``LabTrait`` of the suite or test has built.
    static var current: Lab {
        get throws { try #require(ofThisTest, "the suite lacks .lab(…)") }
    }

    let name: String
    let state: String
    let binary: String
    let peerBinary: String
    private let script: String

    /// Builds the namespaces.
    init() throws {
        Self.sweep
        name = "\(Self.prefix)\(getpid())-\(Self.nextNumber())"
        state = "/tmp/rpcwarden-lab.\(name)"
        script = Lab.path("scripts/lab")
        binary = Self.binaryPath
        peerBinary = Self.peerPath
        do {
            try control("up")
        } catch {
            down()
            throw error
        }
    }

    deinit { down() }

    /// Removes the lab. Idempotent.
    func down() {
        do {
            try control("down")
        } catch {
            Issue.record(error, "the lab can't be taken down")
        }
    }

    /// The path of a file of the repository.
    static func path(_ file: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../../" + file)
            .standardizedFileURL.path
    }

    static var binaryPath: String {
        ProcessInfo.processInfo.environment["RPCWARDEN_BINARY"] ?? buildFolder + "/rpcwarden"
    }

    static var peerPath: String { buildFolder + "/labpeer" }

    /// The folder of the test binary, which is also SwiftPM's folder for executables.
    private static var buildFolder: String {
        let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        // Under `swift test` the process is swiftpm-testing-helper; its arguments name the test bundle.
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? own ?? "."
        return URL(fileURLWithPath: bundle).deletingLastPathComponent().path
    }

    // MARK: Numbers, and labs of killed runs

    private static let numbers = Mutex(0)

    private static func nextNumber() -> Int {
        numbers.withLock {
            $0 += 1
            return $0
        }
    }

    private static let prefix = "labtests"

    /// Removes the labs of test runs that were killed.
    private static let sweep: Void = {
        let left = (try? FileManager.default.contentsOfDirectory(atPath: "/tmp")) ?? []
        for folder in left where folder.hasPrefix("rpcwarden-lab.\(prefix)") {
            let name = folder.dropFirst("rpcwarden-lab.".count)
            guard let pid = name.dropFirst(prefix.count).split(separator: "-").first.flatMap({ pid_t($0) }),
                Glibc.kill(pid, 0) != 0
            else { continue }
            let script = Lab.path("scripts/lab")
            _ = try? run([script, "down"], environment: ["LAB": String(name)])
        }
    }()

    // MARK: Commands

    /// Runs `scripts/lab …`, which must succeed.
    @discardableResult
    func control(_ arguments: String...) throws -> Output { try control(arguments) }

    @discardableResult
    func control(_ arguments: [String]) throws -> Output {
        let command = ["timeout", "--kill-after=5", "60", script] + arguments
        let output = try run(command, environment: ["LAB": name])
        guard output.isSuccess else { throw CommandError(command: command, output: output) }
        return output
    }

    /// Runs a command in a host. It is killed after `seconds`: a stranger's rpcinfo would wait for a minute.
    func exec(_ host: Host, _ command: String..., seconds: Double = 20) throws -> Output {
        try exec(host, command, seconds: seconds)
    }

    func exec(_ host: Host, _ command: [String], seconds: Double = 20) throws -> Output {
        try run(
            try entry(to: host) + ["timeout", "--kill-after=1", "\(seconds)"] + command,
            environment: ["STATE_DIRECTORY": "\(state)/guard.\(host.rawValue)", "PATH": Self.searchPath])
    }

    private static let searchPath =
        (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin"

    /// As `scripts/lab exec` enters a host, but without its shells, which took a third of the processor's time: tests run
    /// some twenty commands a second.
    private func entry(to host: Host) throws -> [String] {
        let holder =
            switch host {
            case .server: "holder"
            case .rpcbind: "rpcbind"
            case .approved, .limited, .stranger, .spare, .filer: "holder-\(host.rawValue)"
            }
        guard FileManager.default.fileExists(atPath: pidFile(holder)) else {
            return ["nsenter", "--net=/run/netns/\(name)-\(host.rawValue)", "--"]
        }
        // Else it would be the root of that namespace.
        let folder = FileManager.default.currentDirectoryPath
        return ["nsenter", "--target", "\(try pid(holder))", "--net", "--mount", "--uts", "--wdns=\(folder)", "--"]
    }

    private func pidFile(_ name: String) -> String { "\(state)/\(name).pid" }

    /// Of what `scripts/lab` holds or started.
    func pid(_ name: String) throws -> pid_t {
        let text = try String(contentsOfFile: pidFile(name), encoding: .utf8)
        return try #require(pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)), "\(name): \(text)")
    }

    /// Starts a command that outlives the call; its output is in ``log(_:)``.
    func spawn(_ host: Host, _ name: String, _ command: [String]) throws {
        let command = [script, "spawn", host.rawValue, name, "--"] + command
        let output = try run(command, environment: ["LAB": self.name])
        guard output.isSuccess else { throw CommandError(command: command, output: output) }
    }

    func kill(_ name: String, _ signal: String = "TERM") throws { try control("kill", name, signal) }

    func isRunning(_ name: String) throws -> Bool {
        try run([script, "kill", name, "0"], environment: ["LAB": self.name]).isSuccess
    }

    func log(_ name: String) -> String {
        (try? String(contentsOfFile: "\(state)/\(name).log", encoding: .utf8)) ?? ""
    }

    func write(_ text: String, to file: String) throws {
        try text.write(toFile: "\(state)/\(file)", atomically: true, encoding: .utf8)
    }

    // MARK: labpeer

    /// Runs `labpeer …`; the words are separated by spaces. Its own waits end it, and `seconds` one that hangs.
    @discardableResult
    func peer(_ host: Host, _ words: String, seconds: Double = 120) throws -> Output {
        try exec(host, [peerBinary] + words.split(separator: " ").map(String.init), seconds: seconds)
    }

    func spawnPeer(_ host: Host, _ name: String, _ words: String) throws {
        try spawn(host, name, [peerBinary] + words.split(separator: " ").map(String.init))
    }

    /// Runs several `labpeer …` at once; returns their outputs in the same order.
    func peers(_ host: Host, _ commands: [String]) throws -> [Output] {
        let folder = "\(state)/peers.\(Self.nextNumber())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        var outputs: [Output] = []
        for start in stride(from: 0, to: commands.count, by: Self.peersAtOnce) {
            let chunk = commands[start..<min(start + Self.peersAtOnce, commands.count)]
            let script = chunk.enumerated().map { index, words in
                "{ \(peerBinary) \(words) >\(folder)/\(index) 2>&1; echo $? >\(folder)/\(index).status; } &"
            }
            let all = try exec(host, "sh", "-c", (script + ["wait"]).joined(separator: "\n"), seconds: 120)
            guard all.isSuccess else { throw CommandError(command: Array(chunk), output: all) }
            for index in 0..<chunk.count {
                let text = try String(contentsOfFile: "\(folder)/\(index)", encoding: .utf8)
                let status = try String(contentsOfFile: "\(folder)/\(index).status", encoding: .utf8)
                outputs.append(Output(text: text, errors: "", status: Int32(status.dropLast()) ?? -1))
            }
        }
        return outputs
    }

    private static let peersAtOnce = 32
}
