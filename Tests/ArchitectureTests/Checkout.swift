import Dispatch
import Foundation

/// A repository of its own with scripts/release and the files that it reads; one commit.
struct Checkout {
    let root: URL
    let version: String

    struct Outcome: Equatable {
        var status: Int32
        var text, errors: String
    }

    private static let copied = [
        "scripts/release", "scripts/prepare.sh", "Sources/Shells/System/Version.swift", "packaging/debian/changelog",
        "packaging/rpcwarden.spec",
    ]

    init(of repository: Repository) throws {
        root = URL(fileURLWithPath: NSTemporaryDirectory()).appendingPathComponent("rpcwarden-\(UUID().uuidString)")
        version = try repository.version()
        for file in Self.copied {
            let copy = root.appendingPathComponent(file)
            try FileManager.default.createDirectory(
                at: copy.deletingLastPathComponent(), withIntermediateDirectories: true)
            try FileManager.default.copyItem(at: repository.root.appendingPathComponent(file), to: copy)
        }
        try write("*.o\n", to: ".gitignore")
        try write("## \(version)\n\n- One.\n", to: "CHANGELOG.md")
        try git("init", "--quiet")
        try commit()
    }

    func remove() { try? FileManager.default.removeItem(at: root) }

    func text(_ file: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(file), encoding: .utf8)
    }

    func write(_ text: String, to file: String) throws {
        let path = root.appendingPathComponent(file)
        try FileManager.default.createDirectory(at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: path)
    }

    func commit() throws {
        try git("add", "--all")
        try git("-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "--quiet", "--message", "test")
    }

    /// Runs the body while the file has another text, or is there at all.
    func with(_ text: String, in file: String, _ body: () throws -> Void) throws {
        let path = root.appendingPathComponent(file)
        let before = FileManager.default.contents(atPath: path.path)
        try write(text, to: file)
        try body()
        if let before { try before.write(to: path) } else { try FileManager.default.removeItem(at: path) }
    }

    func check(_ version: String) throws -> Outcome { try run(["scripts/release", "--check", version]) }

    private func git(_ arguments: String...) throws {
        let outcome = try run(["git"] + arguments)
        guard outcome.status == 0 else { throw Failed(outcome: outcome) }
    }

    private struct Failed: Error { var outcome: Outcome }

    private func run(_ command: [String]) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.currentDirectoryURL = root
        // A hook runs these tests with variables that name the repository being committed to.
        process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("GIT_") }
            .merging(["GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"]) { $1 }
        let (output, errors) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, errors)
        // `waitUntilExit` polls only every 50 ms.
        let ended = DispatchSemaphore(value: 0)
        process.terminationHandler = { _ in ended.signal() }
        try process.run()
        let texts = [output, errors].map {
            String(decoding: $0.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        }
        ended.wait()
        return Outcome(status: process.terminationStatus, text: texts[0], errors: texts[1])
    }
}
