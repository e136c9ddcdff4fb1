import Addresses
import Clock
import Configuration
import Dispatch
import Firewall
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Daemon
@testable import Gate

@Suite("keeping the guard") struct GuardKeeperTests {
    /// A keeper on its own event loop; writes are counted, and fail on request.
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

        /// Whether the file was written; if so, the follow-up work on the loop is done too.
        func isWritten() throws -> Bool {
            let result = notes.written.wait(timeout: .now() + .milliseconds(300)) == .success
            // The thread's result reaches the loop after the write.
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

    @Test("rests for a hundred times as long as a writing took, and for five minutes at the most")
    func pauseAfter() {
        let pauses = [Duration.zero, .milliseconds(49), .seconds(1), .seconds(4), .seconds(3600), .seconds(.max / 2)]
            .map { GuardKeeper.pause(after: $0) }
        #expect(pauses == [.seconds(5), .seconds(5), .seconds(100), .seconds(300), .seconds(300), .seconds(300)])
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
