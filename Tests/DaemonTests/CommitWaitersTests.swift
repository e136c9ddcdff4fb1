import NIOCore
import NIOPosix
import Testing

@testable import Daemon

@Suite("who waits for a long transaction") struct CommitWaitersTests {
    /// Whether a transaction is under way, and what the waiters were told. Belongs to one loop.
    private final class Kernel {
        var isCommitting = false
        var told: [String] = []
        private let loop: any EventLoop
        private(set) lazy var waiters = CommitWaiters { [unowned self] in isCommitting }

        init(on loop: any EventLoop) { self.loop = loop }

        func wait(_ name: String, then next: @escaping () -> Void = {}) {
            waiters.wait(on: loop).assumeIsolated().whenComplete { result in
                if case .success = result { self.told.append(name) } else { self.told.append("\(name) failed") }
                next()
            }
        }

        func end() {
            isCommitting = false
            waiters.commitEnded()
        }
    }

    private struct Stopped: Error {}

    /// - Returns: what was told after each stage of the story.
    private func stages(_ story: @escaping @Sendable (Kernel, _ stage: () -> Void) -> Void) throws -> [[String]] {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        return try loop.submit {
            let kernel = Kernel(on: loop)
            var stages: [[String]] = []
            story(kernel) { stages.append(kernel.told) }
            return stages
        }.wait()
    }

    @Test("nobody waits for nothing; else each is told when it ends, in turn, and once")
    func turns() throws {
        let stages = try stages { kernel, stage in
            kernel.wait("at once")
            kernel.isCommitting = true
            kernel.wait("first")
            kernel.wait("second")
            stage()
            kernel.end()
            stage()
            kernel.end()
            stage()
        }
        #expect(stages == [["at once"], ["at once", "first", "second"], ["at once", "first", "second"]])
    }

    @Test("one that begins the next transaction, and waits for it, is told of that one's end; so are the others")
    func next() throws {
        let stages = try stages { kernel, stage in
            kernel.isCommitting = true
            kernel.wait("reload") {
                kernel.isCommitting = true
                kernel.wait("in force")
            }
            kernel.wait("listing")
            kernel.end()
            stage()
            kernel.end()
            stage()
        }
        #expect(stages == [["reload"], ["reload", "listing", "in force"]])
    }

    @Test("the daemon's end is told to each, once")
    func stop() throws {
        let stages = try stages { kernel, stage in
            kernel.isCommitting = true
            kernel.wait("a")
            kernel.wait("b")
            kernel.waiters.fail(Stopped())
            stage()
            kernel.end()
            stage()
        }
        #expect(stages == [["a failed", "b failed"], ["a failed", "b failed"]])
    }
}
