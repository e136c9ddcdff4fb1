import Configuration
import Foundation
import Testing

@testable import Daemon

// sched.h declares these for _GNU_SOURCE only, and Swift's Glibc module is built without it.
@_silgen_name("unshare") private func unshare(_ flags: Int32) -> Int32
private let CLONE_FS: Int32 = 0x200

@Suite("folders at the start") struct StartupTests {
    private let startup = Startup(settings: Settings(), user: nil)

    /// Calls `body` with the path of a folder that does not exist yet; the folder is removed afterwards.
    private func withPlace(_ body: (String) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "rpcwarden-startup-\(UUID().uuidString)"
        defer { _ = try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    private func mode(_ path: String) throws -> Int? {
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber
        return mode?.intValue
    }

    @Test("no advice takes a folder from whom it belongs to")
    func remedies() {
        let owner = geteuid()
        let control = startup.controlRemedy
        #expect(control.contains("install -d -o \(owner) /run/rpcwarden, and set control: /run/rpcwarden/control"))
        #expect(!control.contains("chown"))
        for code in [EACCES, EPERM] {
            let audit = startup.auditRemedy("/var/log/audit.jsonl", code)
            #expect(audit.contains("install -d -o \(owner) /var/log/rpcwarden, and set audit.file: /var/log/rpcw"))
            #expect(!audit.contains("chown"))
            let own = startup.auditRemedy("/var/log/rpcwarden/x", code)
            #expect(own.hasSuffix("chown \(owner) /var/log/rpcwarden/x"), "the file, not its folder")
        }
        #expect(startup.auditRemedy("/srv/log/x", ENOENT) == "make the folder: install -d -o \(owner) /srv/log")
    }

    @Test("a state folder has its mode whatever the umask, and one that is there stays as it is")
    func umaskOfRoot() throws {
        try withPlace { path in
            // From here on the umask is this thread's own, because other tests write files meanwhile.
            try #require(unshare(CLONE_FS) == 0)
            let before = umask(0o077)
            defer { umask(before) }
            try StateFolder { _ in path }.make()
            #expect(try mode(path) == 0o755)
            #expect(chmod(path, 0o700) == 0)
            try StateFolder { _ in path }.make()
            #expect(try mode(path) == 0o700)
        }
    }

    @Test("a state folder that can't be reached is left out")
    func reachable() throws {
        try withPlace { path in
            let state = StateFolder { _ in path }
            #expect(startup.reachable(nil)?.path == nil)
            #expect(startup.reachable(state)?.path == nil)
            try state.make()
            #expect(startup.reachable(state)?.path == path)
            try FileManager.default.removeItem(atPath: path)
            try "".write(toFile: path, atomically: false, encoding: .utf8)
            #expect(startup.reachable(state)?.path == nil, "a file")
        }
    }
}
