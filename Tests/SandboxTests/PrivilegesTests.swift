import Glibc
import Testing

@testable import Sandbox

/// Each in a process of its own, for nothing can be taken back.
@Suite("a process that gave up privileges", .serialized, .enabled(if: geteuid() == 0, "needs root"))
struct PrivilegesTests {
    /// What `body` says, in a child.
    private static func child(_ body: @escaping () throws -> String) throws -> String {
        let child = try ChildProcess.fork(messageBytesMax: 1 << 16, waitMax: .seconds(5)) { channel in
            let text: String
            do { text = try body() } catch { text = "\(error)" }
            try? channel.send(Array(text.utf8))
            return 0
        }
        defer {
            child.channel.close()
            child.awaitEnd()
        }
        return String(decoding: try child.channel.receive(), as: UTF8.self)
    }

    private static func status(_ keys: [String]) -> String {
        let descriptor = open("/proc/self/status", O_RDONLY)
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = read(descriptor, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self).split(separator: "\n")
            .filter { line in keys.contains { line.hasPrefix($0 + ":") } }
            .map { $0.split(separator: "\t").joined(separator: " ") }.joined(separator: "\n")
    }

    private static func name(_ result: Int32) -> String {
        result >= 0 ? "done" : errno == EPERM ? "EPERM" : errno == EACCES ? "EACCES" : "errno \(errno)"
    }

    private static let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"]

    @Test("has no capability left, in no set", arguments: [false, true])
    func capabilities(keepsNetAdmin: Bool) throws {
        let text = try Self.child {
            try Privileges.keep(only: keepsNetAdmin ? .netAdmin : nil)
            return Self.status(Self.sets)
        }
        let (none, kept) = ("0000000000000000", keepsNetAdmin ? "0000000000001000" : "0000000000000000")
        #expect(
            text == """
                CapInh: \(none)
                CapPrm: \(kept)
                CapEff: \(kept)
                CapBnd: \(none)
                CapAmb: \(none)
                NoNewPrivs: 1
                """)
    }

    @Test("reads files, and can neither write, make, remove nor execute any")
    func readsOnly() throws {
        let text = try Self.child {
            try Privileges.keep(only: nil)
            guard try Privileges.onlyReadFiles() else { return "no Landlock" }
            return [
                Self.name(open("/etc/hosts", O_RDONLY)), Self.name(open("/dev/null", O_WRONLY)),
                Self.name(open("/tmp/sandbox-test.\(getpid())", O_CREAT | O_WRONLY, 0o600)),
                Self.name(mkdir("/tmp/sandbox-test.\(getpid())", 0o700)),
                Self.name(execv("/bin/true", [nil])),
            ].joined(separator: " ")
        }
        #expect(text == "no Landlock" || text == "done EACCES EACCES EACCES EACCES")
    }

    @Test("writes beneath the folders that it named, and nowhere else")
    func writesBeneath() throws {
        let folder = "/tmp/sandbox-test.\(getpid())"
        #expect(mkdir(folder, 0o700) == 0)
        defer {
            unlink(folder + "/file")
            rmdir(folder)
        }
        let text = try Self.child {
            try Privileges.keep(only: nil)
            guard try Privileges.onlyWriteFiles(beneath: [folder]) else { return "no Landlock" }
            return [
                Self.name(open(folder + "/file", O_CREAT | O_WRONLY, 0o600)), Self.name(open("/etc/hosts", O_RDONLY)),
                Self.name(open("/etc/hosts", O_WRONLY)),
                Self.name(open("/tmp/sandbox-test-other", O_CREAT | O_WRONLY, 0o600)),
            ].joined(separator: " ")
        }
        #expect(text == "no Landlock" || text == "done done EACCES EACCES")
    }

    @Test("makes the system calls of the netfilter process, and no other")
    func systemCalls() throws {
        let text = try Self.child {
            try Privileges.keep(only: nil)
            guard try Privileges.onlyNetfilterCalls() else { return "no seccomp" }
            var polled = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
            let memory = mmap(nil, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            return [
                Self.name(open("/etc/hosts", O_RDONLY)), Self.name(open("/dev/null", O_WRONLY)),
                Self.name(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)), Self.name(execv("/bin/true", [nil])),
                Self.name(poll(&polled, 1, 0)), Self.name(kill(getppid(), 0)), Self.name(dup(0)),
                memory == MAP_FAILED ? "EPERM" : "done",
            ].joined(separator: " ")
        }
        #expect(text == "no seccomp" || text == "done EPERM EPERM EPERM done EPERM EPERM EPERM")
    }

    @Test("holds no descriptor of its parent but standard input, output, error, and the channel's two")
    func descriptors() throws {
        let own = open("/etc/hosts", O_RDONLY)
        defer { close(own) }
        let text = try Self.child {
            (0..<256).filter { fcntl($0, F_GETFD) >= 0 }.count.description
        }
        #expect(text == "5")
    }

    @Test("ends with its parent's channel, and leaves no zombie")
    func ends() throws {
        let child = try ChildProcess.fork(messageBytesMax: 16, waitMax: .seconds(5)) { channel in
            do {
                _ = try channel.receive()
                return 1
            } catch {
                return 7
            }
        }
        child.channel.close()
        #expect(child.awaitEnd() == 7 << 8)
        #expect(kill(child.processID, 0) == -1)
    }
}
