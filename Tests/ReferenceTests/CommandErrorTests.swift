import Foundation
import Testing

/// An image below a temporary folder.
private struct Image {
    let folder = NSTemporaryDirectory() + "image-\(UInt32.random(in: 0 ... .max))"

    func write(_ path: String, _ text: String) throws {
        let file = URL(fileURLWithPath: folder + path)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try text.write(to: file, atomically: false, encoding: .utf8)
    }

    /// rpcbind and rpcwarden as their packages install them.
    func install() throws {
        try write("/usr/lib/systemd/systemd", "")
        try write("/lib/systemd/system/rpcbind.socket", "[Socket]\nListenStream=/run/rpcbind.sock\n")
        for unit in ["rpcwarden.socket", "rpcwarden.service", "rpcwarden-guard.service"] {
            try write("/lib/systemd/system/\(unit)", "[Unit]\n")
        }
    }

    func end() throws { try FileManager.default.removeItem(atPath: folder) }
}

@Suite("what ends a command, and with which status") struct CommandErrorTests {
    private func rpcwarden(_ words: String...) throws -> Output { try run([BuiltProgram.path] + words) }

    private func withImage(_ body: (Image) throws -> Void) throws {
        let image = Image()
        try image.install()
        defer { #expect(throws: Never.self) { try image.end() } }
        try body(image)
    }

    private static let configuration = "/etc/rpcwarden/rpcwarden.yaml"

    @Test(
        "a configuration that is named and can't be read",
        arguments: ["doctor", "setup --dry-run", "status", "stop", "grants", "top --once", "fleet nodes"])
    func missingConfiguration(command: String) throws {
        let words = command.split(separator: " ").map(String.init)
        let output = try run([BuiltProgram.path] + words + ["--config", "/nonexistent.yaml"])
        #expect(output.status == 2 && output.errors.contains("can't read \"/nonexistent.yaml\""), "\(output)")
    }

    @Test("an empty --root is not this host", arguments: ["doctor", "setup"])
    func emptyRoot(command: String) throws {
        let output = try rpcwarden(command, "--root", "")
        #expect(output.status == 2 && output.errors.contains("--root is empty"), "\(output)")
    }

    @Test("an output that can't be written", arguments: ["import-exports /dev/null", "--help", "doctor --json --root"])
    func fullDisk(command: String) throws {
        try withImage { image in
            let words =
                command.split(separator: " ").map(String.init) + (command.hasSuffix("--root") ? [image.folder] : [])
            let output = try run(["sh", "-c", "exec \"$0\" \"$@\" >/dev/full", BuiltProgram.path] + words)
            #expect(output.status == 1 && output.errors.contains("can't write the whole output"), "\(output)")
        }
    }

    @Test("what a terminal would obey is shown, and not sent")
    func controlCharacters() throws {
        let output = try rpcwarden("explain", "--client", "192.0.2.1", "--config", "/nonexistent/\u{1b}[31m")
        #expect(output.status == 2 && output.errors.contains("\\u{1b}[31m") && !output.errors.contains("\u{1b}"))
    }

    @Test("doctor tells of a configuration that the daemon refuses")
    func refusedConfiguration() throws {
        try withImage { image in
            try image.write(Self.configuration, "mode: enfroce\n")
            let output = try rpcwarden("doctor", "--root", image.folder)
            #expect(output.status == 1 && output.text.contains("[configuration-refused]"), "\(output)")
            #expect(output.text.contains("rpcwarden check --config \(image.folder)\(Self.configuration)"))
        }
    }

    @Test("setup reads the policy that the configuration names, and tells its plan beside what is wrong")
    func policyOfConfiguration() throws {
        try withImage { image in
            func setUp() throws -> Output { try rpcwarden("setup", "--dry-run", "--root", image.folder) }
            try image.write(Self.configuration, "mode: enforce\npolicy: site.yaml\n")
            var output = try setUp()
            #expect(
                output.status == 1 && output.errors.contains("/etc/rpcwarden/site.yaml\": No such file"), "\(output)")
            #expect(output.text.contains("rpcbind.service.d/rpcwarden.conf"))
            try image.write("/etc/rpcwarden/site.yaml", "rules: [\n")
            output = try setUp()
            #expect(output.status == 1 && output.errors.contains("site.yaml:2:1: error"), "\(output)")
            try image.write("/etc/rpcwarden/site.yaml", "rules: [{name: r, from: [10.0.0.0/8], to: [nfs]}]\n")
            output = try setUp()
            #expect(output.status == 0 && output.errors.isEmpty && !output.text.contains("start.yaml"), "\(output)")
            let refused = try rpcwarden(
                "setup", "--root", image.folder, "--config", image.folder + "/etc/rpcwarden/site.yaml")
            #expect(refused.status == 1 && refused.errors.contains("doesn't start with --config"), "\(refused)")
            #expect(!FileManager.default.fileExists(atPath: image.folder + "/var"), "nothing was done")
        }
    }

    @Test("setup --pin exits with 1 while it leaves steps to the user, dry or not, and with 0 once they are done")
    func stepsLeft() throws {
        try withImage { image in
            try image.write("/usr/sbin/rpc.mountd", "")
            for options in [["--dry-run"], []] {
                let output = try run([BuiltProgram.path, "setup", "--pin", "--root", image.folder] + options)
                #expect(output.status == 1 && output.errors.contains("1 step is left to you"), "\(output)")
                #expect(output.text.contains("left to you: this host's nfs-utils has no /etc/nfs.conf.d. Add"))
            }
            try image.write("/etc/nfs.conf", "[mountd]\nport=20048\n")
            let output = try rpcwarden("setup", "--pin", "--root", image.folder)
            #expect(output.status == 0 && output.errors.isEmpty, "\(output)")
        }
    }

    @Test("a command that is missing or unknown is a usage error, whatever follows it; help goes to stderr")
    func noCommand() throws {
        let groups =
            [[BuiltProgram.path], [BuiltProgram.fleetPath]]
            + [["guard"], ["policy"]].map { [BuiltProgram.path] + $0 } + [[BuiltProgram.fleetPath, "order"]]
        for words in groups {
            let missing = try run(words)
            #expect(missing.status == 2 && missing.text.isEmpty, "\(words): \(missing)")
            #expect(missing.errors.contains(": no command; name one") && missing.errors.contains("SUBCOMMANDS:"))
            let unknown = try run(words + ["foo", "--config", "/nonexistent.yaml"])
            #expect(unknown.status == 2 && unknown.errors.contains("unknown command: \"foo\""), "\(words): \(unknown)")
            let help = try run(words + ["--help"])
            #expect(help.status == 0 && help.text.contains("SUBCOMMANDS:") && help.errors.isEmpty, "\(help)")
        }
        let option = try rpcwarden("status", "--nosuch")
        #expect(option.status == 2 && option.errors.contains("--nosuch"), "\(option)")
    }

    @Test("a server that the configuration doesn't name, without a daemon; one that it names is asked for")
    func unknownServer() throws {
        try withImage { image in
            try image.write(
                Self.configuration,
                "control: \(image.folder)/none.sock\ngateway: {servers: [{name: filer, address: 192.0.2.7}]}\n")
            for words in [["grants"], ["registry"], ["revoke", "--client", "192.0.2.1"]] {
                func ask(_ server: String) throws -> Output {
                    let file = image.folder + Self.configuration
                    return try run([BuiltProgram.path] + words + ["--server", server, "--config", file])
                }
                let unknown = try ask("filr")
                #expect(unknown.status == 2, "\(words): \(unknown)")
                #expect(unknown.errors.contains("unknown server: \"filr\"; did you mean \"filer\"?"), "\(unknown)")
                #expect(try ask("filer").status == 3, "\(words)")
            }
        }
    }

    @Test(
        "an argument that can't be right names the value and the remedy",
        arguments: [
            (["revoke", "--client", "192.0.2.1", "--port", "0"], "--port: 0 is no port; give 1 to 65535"),
            (
                ["policy", "sign", "/nonexistent", "--serial", "1"],
                "\"/nonexistent\": No such file or directory; name a"
            ),
            (["probe", "192.0.2.1", "--program", "mountdd"], "unknown program: \"mountdd\"; did you mean \"mountd\"?"),
            (
                ["probe", "192.0.2.1", "--program", "nosuchprogram"],
                "\"nosuchprogram\"; use a name of /etc/rpc, or its"
            ),
        ])
    func remedies(words: [String], message: String) throws {
        let output = try run([BuiltProgram.path] + words)
        #expect(output.status == 2 && output.errors.contains(message), "\(output)")
    }
}
