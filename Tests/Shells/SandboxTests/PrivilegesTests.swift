import Glibc
import Testing

@testable import Sandbox

/// Each test forks a process, because dropped privileges can't be regained.
@Suite("a process that gave up privileges", .serialized, .enabled(if: geteuid() == 0, "needs root"))
struct PrivilegesTests {
    /// The result of `body` in a child process.
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

    /// Calls a function of the C library that Swift does not import.
    private static func call(_ name: String, _ arguments: Int...) -> Int32 {
        typealias Function = @convention(c) (Int, Int, Int, Int, Int, Int) -> Int
        guard let symbol = dlsym(nil, name) else { return 0 }
        let (function, words) = (unsafeBitCast(symbol, to: Function.self), arguments + Array(repeating: 0, count: 6))
        return Int32(truncatingIfNeeded: function(words[0], words[1], words[2], words[3], words[4], words[5]))
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

    @Test(
        "is another user for good, with no other groups, and keeps the capability that it needs",
        arguments: [false, true])
    func becomes(keepsNetAdmin: Bool) throws {
        let text = try Self.child {
            let user = ServiceUser.find(["no such user"])
            try Privileges.become(user)
            try Privileges.keep(only: keepsNetAdmin ? .netAdmin : nil)
            let attempts = [Self.name(setuid(0)), Self.name(setgid(0)), Self.name(setgroups(0, nil))]
            let ids = Self.status(["Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapBnd", "CapInh"])
            return ids + "\n" + attempts.joined(separator: " ")
        }
        let (none, kept) = ("0000000000000000", keepsNetAdmin ? "0000000000001000" : "0000000000000000")
        #expect(
            text == """
                Uid: 65534 65534 65534 65534
                Gid: 65534 65534 65534 65534
                Groups: \(" ")
                CapInh: \(none)
                CapPrm: \(kept)
                CapEff: \(kept)
                CapBnd: \(none)
                EPERM EPERM EPERM
                """)
    }

    @Test("who may not become another user is told so, and does not go on as root")
    func maynt() throws {
        let text = try Self.child {
            try Privileges.keep(only: .netAdmin)
            try Privileges.become(ServiceUser.find(["nobody"]))
            return "went on"
        }
        #expect(text == "becoming user nobody: Operation not permitted")
    }

    @Test("is the package's user where there is one, else nobody, and never root under another name")
    func user() {
        #expect(ServiceUser.needed() != nil)
        #expect(ServiceUser.find(["root", "nobody"]).name == "nobody")
        #expect(ServiceUser.find(["no such user"]) == ServiceUser.find(["root"]))
        #expect(ServiceUser.find([]).id == 65_534)
    }

    @Test("can't open a socket of root's, which it could as root without capabilities")
    func rootsSockets() throws {
        let path = "/tmp/sandbox-test.\(getpid()).socket"
        func address() -> sockaddr_un {
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
            return address
        }
        func reach(_ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32, _ descriptor: Int32) -> Int32 {
            var place = address()
            return withUnsafePointer(to: &place) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    call(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer {
            close(listener)
            unlink(path)
        }
        #expect(reach(bind, listener) == 0 && chmod(path, 0o600) == 0 && listen(listener, 4) == 0)
        for becomes in [false, true] {
            let text = try Self.child {
                if becomes { try Privileges.become(ServiceUser.find(["nobody"])) }
                try Privileges.keep(only: nil)
                _ = try Privileges.onlyWriteFiles(beneath: [])
                return Self.name(reach(connect, socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)))
            }
            #expect(text == (becomes ? "EACCES" : "done"))
        }
    }

    @Test(
        "makes no system call that nothing of the daemon needs, and no unix socket unless it is to; the rest is as ever",
        arguments: [false, true])
    func deniedCalls(makesUnixSockets: Bool) throws {
        let text = try Self.child {
            try Privileges.keep(only: nil)
            let pipes = try PacketChannel.pair(messageBytesMax: 8)
            guard try Privileges.noUnneededCalls(makesUnixSockets: makesUnixSockets) else { return "no seccomp" }
            var thread = pthread_t()
            let made = pthread_create(&thread, nil, { _ in nil }, nil)
            if made == 0 { pthread_join(thread, nil) }
            let families: [Int32] = [
                AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, 17 /* PACKET */, 38 /* ALG */, 40 /* VSOCK */,
            ]
            let sockets = families.map { family in
                let descriptor = socket(family, Int32(SOCK_DGRAM.rawValue), 0)
                return descriptor >= 0 ? "done" : errno == EAFNOSUPPORT ? "none" : "errno \(errno)"
            }
            var pair: [Int32] = [-1, -1]
            let paired = socketpair(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0, &pair)
            // Existing descriptors still work.
            try pipes.first.send([1], with: STDERR_FILENO, mayWait: true)
            let isPassed = try pipes.second.receive().descriptor != nil
            return [
                made == 0 ? "done" : "errno \(made)", Self.name(open("/etc/hosts", O_RDONLY)),
                Self.name(Self.call("fork")), Self.name(Self.call("vfork")),
                Self.name(Self.call("unshare", 0x1000_0000)),
                Self.name(Self.call("setns", 0, 0)),
                Self.name(execv("/bin/true", [nil])), Self.name(Self.call("process_vm_readv", Int(getpid()))),
                Self.name(Self.call("ptrace", 0)), Self.name(Self.call("shmget", 0, 4096, 0o1600)),
                // The standard error is the caller's own.
                Self.name(fchown(STDERR_FILENO, geteuid(), getegid())), Self.name(chown("/tmp", uid_t.max, gid_t.max)),
                Self.name(lchown("/tmp", uid_t.max, gid_t.max)),
                Self.name(fchownat(AT_FDCWD, "/tmp", uid_t.max, gid_t.max, 0)),
            ].joined(separator: " ") + "; " + sockets.joined(separator: " ")
                + "; \(paired == 0 ? "done" : "none") \(isPassed)"
        }
        let unix = makesUnixSockets ? "done" : "none"
        #expect(
            text == "no seccomp"
                || text == "done done EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM; "
                    + "done done done \(unix) none none none; \(unix) true"
        )
    }

    @Test("types into no terminal, and makes other requests of a descriptor")
    func terminals() throws {
        let text = try Self.child {
            try Privileges.keep(only: nil)
            let pipes = try PacketChannel.pair(messageBytesMax: 8)
            defer { withExtendedLifetime(pipes) {} }
            guard try Privileges.noUnneededCalls(makesUnixSockets: false) else { return "no seccomp" }
            var bytes: [Int32] = [0, 0]
            // TIOCSTI, also with bits that the kernel doesn't look at, TIOCLINUX, FIONREAD.
            return [0x5412, 0x7_0000_5412, 0x541c, 0x541b].map { request in
                let name = bytes.withUnsafeMutableBytes {
                    Self.name(Self.call("ioctl", Int(STDERR_FILENO), request, Int(bitPattern: $0.baseAddress)))
                }
                // A standard error that is no terminal refuses other requests with ENOTTY.
                return name == "EPERM" ? name : "passed"
            }.joined(separator: " ")
        }
        #expect(text == "no seccomp" || text == "EPERM EPERM EPERM passed")
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
