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
}
