import Foundation
import Glibc
import Testing

/// A machine of scripts/machine: Debian 12 with the real systemd, at 10.99.0.1; the outside has 10.99.0.2 and
/// other addresses.
final class Machine: Sendable {
    let name: String
    private let script = Recipe.root.appendingPathComponent("scripts/machine").path

    init() throws {
        Self.sweep
        self.name = Self.prefix + String(getpid(), radix: 36)
        // The first start on a host builds the image, which takes a minute or two.
        _ = try checked(["bash", "-c", Self.withoutDescriptors, "bash", script, "start", self.name])
    }

    private static let prefix = "test"

    /// Removes the machines of test runs that were killed.
    private static let sweep: Void = {
        let cache = ProcessInfo.processInfo.environment["RPCWARDEN_CACHE"] ?? "/var/tmp/rpcwarden"
        let script = Recipe.root.appendingPathComponent("scripts/machine").path
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "\(cache)/machines")) ?? [] {
            guard name.hasPrefix(prefix), let pid = pid_t(name.dropFirst(prefix.count), radix: 36),
                Glibc.kill(pid, 0) != 0
            else { continue }
            _ = try? run([script, "stop", name])
            _ = try? FileManager.default.removeItem(atPath: "/tmp/rpcwarden-machine-\(name)")
        }
    }()

    /// Foundation waits for a process's end on a descriptor, which the machine would inherit; so it is closed
    /// first.
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
        _ = try? FileManager.default.removeItem(atPath: folder)
    }

    /// The program, with the libraries of a debug build, and the units.
    func install(_ binary: String) throws {
        let units = try put(binary)
        try shell(
            """
            install -m 755 \(binary) /usr/sbin/rpcwarden
            install -m 644 \(units)/rpcwarden.socket \(units)/rpcwarden*.service /etc/systemd/system/
            systemctl daemon-reload
            # Debian's, which flushes the whole ruleset.
            systemctl enable --quiet nftables.service
            """)
    }

    /// rpcwarden-fleet, beside the daemon's program.
    func installSidecar(_ binary: String) throws {
        let units = try put(binary)
        try shell(
            """
            install -m 755 \(binary) /usr/sbin/rpcwarden-fleet
            install -D -m 644 -t /etc/systemd/system/rpcwarden.service.d \(units)/rpcwarden.service.d/fleet.conf
            systemd-sysusers \(units)/rpcwarden-fleet.sysusers
            systemctl daemon-reload
            """)
    }

    /// - Returns: the folder of the units.
    private func put(_ binary: String) throws -> String {
        let libraries = try run(["ldd", binary]).text.matches(of: /=> (\/\S*swift\S*\.so\S*)/).map { String($0.1) }
        let units = Recipe.root.appendingPathComponent("systemd").path
        try copy([binary, units] + libraries)
        return units
    }

    /// Like `systemctl reboot`: the files are kept, the kernel's state is lost.
    func reboot() throws {
        _ = try checked(["bash", "-c", Self.withoutDescriptors, "bash", script, "reboot", name])
    }

    func inside(_ command: String...) throws -> Output { try inside(command) }

    func inside(_ command: [String]) throws -> Output { try Self.timed([script, "run", name, "--"] + command) }

    /// A property of a unit, as `systemctl show` prints it.
    func property(_ unit: String, _ name: String) throws -> String {
        try shell("systemctl show --value --property \(name) \(unit)").trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Microseconds since the kernel's start.
    func time(_ unit: String, _ name: String) throws -> Int { try #require(Int(try property(unit, name))) }

    func outside(_ command: String...) throws -> Output { try outside(command) }

    func outside(_ command: [String]) throws -> Output {
        try Self.timed([script, "outside", name, "--", "timeout", "--signal=KILL", "3"] + command)
    }

    /// Makes a network behind the machine, with a server at 10.98.0.2 and fd98::2 that runs the script from now on, with
    /// folders of its own as a server of the lab has. Its output is returned by ``serverLog``.
    func putServerBehind(_ script: String) throws {
        _ = try checked([self.script, "behind", name])
        let helpers = Lab.path("scripts/lab.d")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        _ = try checked(
            [self.script, "behind", name, "--", "unshare", "--mount", "--propagation", "private"]
                + ["sh", "\(helpers)/server-mounts.sh", "perl", "\(helpers)/detach.pl"]
                + ["\(folder)/server.log", "\(folder)/server.pid", "sh", "-ec", script])
    }

    /// Runs the script in the network outside; it ends by itself, at the latest once ``folder`` is gone.
    func spawnOutside(_ name: String, _ script: String) throws {
        let files = ["\(folder)/\(name).log", "\(folder)/\(name).pid"]
        _ = try checked(
            [self.script, "outside", self.name, "--", "perl", Lab.path("scripts/lab.d/detach.pl")] + files
                + ["sh", "-ec", script])
    }

    var serverLog: String { (try? String(contentsOfFile: "\(folder)/server.log", encoding: .utf8)) ?? "" }

    /// Files of the test about this machine, on this host.
    var folder: String { "/tmp/rpcwarden-machine-\(name)" }

    /// Runs a script in which every command must succeed.
    @discardableResult
    func shell(_ text: String, in folder: String = "/") throws -> String {
        try checked([script, "run", name, "--", "sh", "-ec", "cd \(folder)\n\(text)"])
    }

    /// Copies a program of this host, with the libraries that the machine lacks.
    func copyProgram(_ path: String) throws {
        let libraries = try run(["ldd", path]).text.matches(of: /\/\S+/).map { String($0.output) }
        let list = ([path] + libraries).joined(separator: " ")
        _ = try checked(
            ["sh", "-ec", "tar -C / -chf - \(list) | '\(script)' run \(name) -- tar -C / --skip-old-files -xf -"])
    }

    /// Copies files of this host to the same paths in the machine.
    func copy(_ files: [String]) throws {
        let list = files.map { "'\($0)'" }.joined(separator: " ")
        _ = try checked(["sh", "-ec", "tar -C / -chf - \(list) | '\(script)' run \(name) -- tar -C / -xf -"])
    }

    /// Copies a file of this host to another path in the machine.
    func put(_ file: String, at path: String) throws { _ = try checked([script, "put", name, file, path]) }

    private func checked(_ command: [String]) throws -> String {
        let output = try Self.timed(command)
        guard output.isSuccess else { throw CommandError(command: command, output: output) }
        return output.text
    }

    private static func timed(_ command: [String]) throws -> Output {
        try run(["timeout", "--kill-after=5", "600"] + command)
    }
}
