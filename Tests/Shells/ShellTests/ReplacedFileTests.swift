import Foundation
import System
import Testing

@Suite("a file to replace, as its user names it") struct ReplacedFileTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "rpcwarden-replaced-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(atPath: folder) } }
        // The temporary folder may be a link itself.
        try body(try #require(realpath(folder, nil).map { String(cString: $0) }))
    }

    private func link(_ path: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
    }

    private func fault(_ path: String) -> ReplacedFile.Fault? {
        do throws(ReplacedFile.Fault) {
            _ = try ReplacedFile(named: path)
            return nil
        } catch {
            return error
        }
    }

    @Test("is where the links lead; a name without a file is the file to make")
    func links() throws {
        try withFolder { folder in
            try Data("old".utf8).write(to: URL(fileURLWithPath: folder + "/file"))
            try link(folder + "/link", to: "file")
            try link(folder + "/second", to: folder + "/link")
            for name in ["file", "link", "second"] {
                let file = try ReplacedFile(named: "\(folder)/\(name)")
                #expect(file.path == folder + "/file" && file.status?.st_size == 3, "\(name)")
            }
            let file = try ReplacedFile(named: folder + "/new")
            #expect(file.path == folder + "/new" && file.status == nil)
        }
    }

    @Test("is no device, pipe or folder, wherever a link to it is")
    func notRegular() throws {
        try withFolder { folder in
            #expect(mkfifo(folder + "/pipe", 0o600) == 0)
            for target in ["pipe", folder, "/dev/null"] {
                try link(folder + "/link", to: target)
                #expect(fault(folder + "/link") == .notRegular, "\(target)")
                #expect(unlink(folder + "/link") == 0)
            }
        }
    }

    @Test("is no open file of a process, though a regular file is open there")
    func openFile() throws {
        try withFolder { folder in
            let descriptor = open(folder + "/log", O_WRONLY | O_CREAT | O_APPEND, 0o600)
            #expect(descriptor >= 0)
            defer { close(descriptor) }
            try link(folder + "/stdout", to: "/proc/self/fd/\(descriptor)")
            try link(folder + "/fd", to: "/proc/self/fd")
            for path in ["stdout", "fd/\(descriptor)"] { #expect(fault("\(folder)/\(path)") == .notRegular, "\(path)") }
        }
    }

    @Test("isn't made by way of a link to a missing file, nor in a missing folder")
    func missing() throws {
        try withFolder { folder in
            try link(folder + "/link", to: "nowhere")
            #expect(fault(folder + "/link") == .linkToNothing)
            try link(folder + "/loop", to: "loop")
            #expect(fault(folder + "/loop") == .unreachable(Errno(ELOOP)))
            for name in ["", folder + "/new/"] { #expect(fault(name) == .unreachable(Errno(ENOENT)), "\(name)") }
        }
    }

    @Test("isn't where a link of another user leads, though through a link of one's own", .enabled(if: geteuid() == 0))
    func foreignLink() throws {
        try withFolder { folder in
            try Data("root's".utf8).write(to: URL(fileURLWithPath: folder + "/file"))
            try link(folder + "/planted", to: "file")
            #expect(lchown(folder + "/planted", 65_534, 65_534) == 0)
            try link(folder + "/own", to: folder + "/planted")
            let refusal = ReplacedFile.Fault.notOwn(path: folder + "/planted", owner: 65_534)
            for name in ["planted", "own"] { #expect(fault("\(folder)/\(name)") == refusal, "\(name)") }
            #expect(lchown(folder + "/planted", 0, 0) == 0)
            #expect(fault(folder + "/own") == nil)
        }
    }

    private func owned(_ path: String) throws -> [UInt32] {
        var status = stat()
        try #require(stat(path, &status) == 0)
        return [status.st_uid, status.st_gid, status.st_mode & 0o7777]
    }

    @Test("keeps its mode, and root keeps its owner; a new file has the mode that was asked for")
    func keeps() throws {
        try withFolder { folder in
            let (file, own) = (folder + "/file", [geteuid(), getegid()])
            try ReplacedFile(named: file).write(Array("1".utf8), newMode: 0o600)
            #expect(try owned(file) == own + [0o600])
            #expect(chmod(file, 0o644) == 0)
            if geteuid() == 0 { #expect(chown(file, 33, 34) == 0) }
            try link(folder + "/link", to: "file")
            try ReplacedFile(named: folder + "/link").write(Array("2".utf8), newMode: 0o600)
            #expect(try owned(file) == (geteuid() == 0 ? [33, 34] : own) + [0o644])
            #expect(try String(contentsOfFile: file, encoding: .utf8) == "2")
        }
    }

    @Test("in a folder for all, root doesn't leave its file to another user", .enabled(if: geteuid() == 0))
    func folderForAll() throws {
        try withFolder { folder in
            let file = folder + "/report"
            #expect(chmod(folder, 0o1777) == 0)
            try Data("trap".utf8).write(to: URL(fileURLWithPath: file))
            #expect(chown(file, 65_534, 65_534) == 0 && chmod(file, 0o666) == 0)
            try ReplacedFile(named: file).write(Array("report".utf8), newMode: 0o600)
            #expect(try owned(file) == [0, getegid(), 0o600])
        }
    }
}
