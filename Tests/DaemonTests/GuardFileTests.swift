import Dispatch
import Firewall
import Foundation
import NIOCore
import NIOPosix
import Portmapper
import Synchronization
import Testing

@testable import Daemon
@testable import Warden

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

    @Test("stays as it was when a new one can't be written")
    func failure() throws {
        let folder = try Folder()
        try folder.file.write(Self.sample.text)
        try FileManager.default.createDirectory(atPath: folder.path + "/guard.new", withIntermediateDirectories: false)
        #expect(throws: GuardFileError.self) { try folder.file.write(SavedGuard().text) }
        #expect(try folder.file.read() == Self.sample)
        #expect(throws: GuardFileError.self) { try GuardFile(folder: folder.path + "/missing").write([]) }
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

@Suite("keeping the guard") struct GuardKeeperTests {
    /// A keeper on a loop of its own; writings are counted, and fail if it is told so.
    private final class Desk: Sendable {
        private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        private let loop: any EventLoop
        private let keeper: NIOLoopBound<GuardKeeper>
        private let notes: Notes

        final class Notes: Sendable {
            let failure = Mutex<String?>(nil)
            let complaints = Mutex([String]())
            let written = DispatchSemaphore(value: 0)
        }

        init() throws {
            let (loop, notes) = (group.next(), Notes())
            (self.loop, self.notes) = (loop, notes)
            keeper = try loop.submit {
                let keeper = GuardKeeper(on: loop) { _ in
                    notes.written.signal()
                    return notes.failure.withLock { $0 }
                } told: { complaint in
                    notes.complaints.withLock { $0.append(complaint) }
                }
                return NIOLoopBound(keeper, eventLoop: loop)
            }.wait()
        }

        private static let snapshot = GuardSnapshot(
            settings: Settings(), programs: [:], sockets: [:], ledger: GrantLedger(), memory: GrantMemory(), now: .zero,
            wallClock: Timestamp(milliseconds: 0))

        func fail(_ why: String?) { notes.failure.withLock { $0 = why } }
        var complaints: [String] { notes.complaints.withLock { $0 } }

        func advance(to seconds: Int64, mark: UInt64) throws {
            let keeper = keeper
            let now = Instant.zero + .seconds(seconds)
            try loop.submit { keeper.value.timeAdvanced(to: now, mark: mark) { Self.snapshot } }.wait()
        }

        /// Whether it was written; then also what follows from it is done.
        func isWritten() throws -> Bool {
            let result = notes.written.wait(timeout: .now() + .milliseconds(300)) == .success
            // The thread's result comes to the loop behind the writing.
            for _ in 0..<3 { _ = try loop.submit { usleep(1000) }.wait() }
            return result
        }

        func close(mark: UInt64) throws {
            let keeper = keeper
            try loop.flatSubmit { keeper.value.close(at: .zero, mark: mark, snapshot: Self.snapshot) }.wait()
        }

        func end() throws { try group.syncShutdownGracefully() }
    }

    @Test("writes a while after a change, not more often than its pause, and nothing where nothing changed")
    func pauses() throws {
        let desk = try Desk()
        try desk.advance(to: 100, mark: 1)
        #expect(try !desk.isWritten(), "what belongs to it may follow")
        try desk.advance(to: 101, mark: 2)
        #expect(try desk.isWritten())
        try desk.advance(to: 103, mark: 2)
        try desk.advance(to: 104, mark: 3)
        try desk.advance(to: 105, mark: 3)
        #expect(try !desk.isWritten())
        try desk.advance(to: 500, mark: 3)
        #expect(try desk.isWritten())
        try desk.advance(to: 1000, mark: 3)
        try desk.advance(to: 2000, mark: 3)
        #expect(try !desk.isWritten())
        try desk.advance(to: 500 + 43_200, mark: 3)
        try desk.advance(to: 500 + 43_202, mark: 3)
        #expect(try desk.isWritten(), "grants live on, and are remembered from then")
        try desk.end()
    }

    @Test("tells of a disk that takes nothing once, tries again, and tells again after it took something")
    func complains() throws {
        let desk = try Desk()
        desk.fail("the disk is full")
        for time in [1000, 2000, 3000] as [Int64] {
            try desk.advance(to: time - 2, mark: 1)
            try desk.advance(to: time, mark: 1)
            #expect(try desk.isWritten())
        }
        #expect(desk.complaints == ["the disk is full"])
        desk.fail(nil)
        try desk.advance(to: 3998, mark: 1)
        try desk.advance(to: 4000, mark: 1)
        #expect(try desk.isWritten())
        desk.fail("again")
        try desk.advance(to: 4998, mark: 2)
        try desk.advance(to: 5000, mark: 2)
        #expect(try desk.isWritten())
        #expect(desk.complaints == ["the disk is full", "again"])
        try desk.end()
    }

    @Test("writes what has changed at the end, and only then")
    func closes() throws {
        let desk = try Desk()
        try desk.close(mark: 1)
        #expect(try desk.isWritten())
        try desk.close(mark: 1)
        #expect(try !desk.isWritten())
        try desk.end()
    }
}
