import Addresses
import Dispatch
import Firewall
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import System
import Testing

@testable import Daemon
@testable import Gate

@Suite("the saved guard's file") struct GuardFileTests {
    private final class Folder {
        let path = NSTemporaryDirectory() + "rpcwarden-guard-\(UUID().uuidString)"
        var file: GuardFile { GuardFile(folder: path) }

        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false) }
        deinit { try? FileManager.default.removeItem(atPath: path) }

        func put(_ text: String) throws { try text.write(toFile: file.path, atomically: false, encoding: .utf8) }
    }

    private static var sample: SavedGuard {
        var saved = SavedGuard(place: .here())
        saved.programs = [ServicePort(.tcp, 2049): [.nfs]]
        return saved
    }

    @Test("is read as it was written, by its owner alone, and leaves nothing beside")
    func roundTrip() throws {
        let folder = try Folder()
        #expect(try folder.file.read() == nil)
        for _ in 0..<2 { try folder.file.write(Self.sample.text) }
        #expect(try folder.file.read() == Self.sample)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["guard"])
        let mode = try FileManager.default.attributesOfItem(atPath: folder.file.path)[.posixPermissions] as? NSNumber
        #expect(mode == 0o600)
    }

    @Test("is written beside what another left under its draft's name, and not into a folder that is missing")
    func failure() throws {
        let folder = try Folder()
        try folder.file.write(Self.sample.text)
        try FileManager.default.createDirectory(atPath: folder.path + "/guard.new", withIntermediateDirectories: false)
        try folder.file.write(SavedGuard().text)
        #expect(try folder.file.read() == SavedGuard())
        #expect(throws: StateFileError.self) { try GuardFile(folder: folder.path + "/missing").write([]) }
    }

    @Test("what is no file of ours is refused, and nobody waits for it")
    func refused() throws {
        let folder = try Folder()
        try folder.put("rpcwarden-guard 1\nfoo\n")
        let error = #expect(throws: GuardFile.Unreadable.self) { try folder.file.read() }
        #expect("\(error as Any)".contains("guard: line 2: "))
        try FileManager.default.removeItem(atPath: folder.file.path)
        #expect(mkfifo(folder.file.path, 0o600) == 0)
        #expect(throws: GuardFile.Unreadable.self) { try folder.file.read() }
        try FileManager.default.removeItem(atPath: folder.file.path)
        try FileManager.default.createDirectory(atPath: folder.file.path, withIntermediateDirectories: false)
        let place = #expect(throws: GuardFile.Unreadable.self) { try folder.file.read() }
        #expect("\(place as Any)".contains("guard: Is a directory; remove it"))
        try FileManager.default.removeItem(atPath: folder.file.path)
        try FileManager.default.createSymbolicLink(atPath: folder.file.path, withDestinationPath: "/etc/passwd")
        #expect(throws: GuardFile.Unreadable.self) { try folder.file.read() }
    }

    @Test("setup's folder is never the daemon's own, however it is spelled: the one below is")
    func folderOfSetup() {
        for named in ["/var/lib/rpcwarden", "/var/lib/rpcwarden/", "//var/./lib//rpcwarden/.:/var/lib/other"] {
            #expect(StateFolder { _ in named }.path == StateFolder.unitPath)
        }
        #expect(StateFolder { _ in "/var/lib/rpcwarden/container" }.path == "/var/lib/rpcwarden/container")
        #expect(StateFolder(isOfUser: true) { _ in nil }.path == StateFolder.unitPath)
    }

    @Test("lies where the service manager says")
    func folder() {
        #expect(StateFolder { _ in "/var/lib/rpcwarden/daemon:/var/lib/other" }.path == "/var/lib/rpcwarden/daemon")
        #expect(StateFolder { _ in "relative" }.path.hasPrefix("/var/lib/rpcwarden"))
        #expect(StateFolder { _ in nil }.file.path.hasSuffix("/guard"))
    }

    @Test("a boot's number is the same with hyphens, as the kernel writes it, and without, as systemd does")
    func bootID() {
        let text = "0f3c2a1b-1111-4222-8333-0123456789ab"
        #expect(SavedGuard.Place.hyphenated(text + "\n") == text)
        #expect(SavedGuard.Place.hyphenated("0F3C2A1B111142228333" + "0123456789ab") == text)
        #expect(SavedGuard.Place.hyphenated("%b") == nil && SavedGuard.Place.hyphenated("") == nil)
        #expect(SavedGuard.Place.here { _ in text }?.boot == text)
        #expect(SavedGuard.Place.here { _ in nil }?.network ?? 0 > 0)
    }
}
