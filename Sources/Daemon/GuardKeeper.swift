import Clock
import Gate
import NIOCore
import NIOPosix

/// Keeps the saved guard up to date: some time after a change, on a separate thread, so that a slow disk delays no
/// call.
///
/// ```
/// saved ──change──▶ due ──settled, and some time since the last──▶ writing ──▶ saved, or due again
/// ```
final class GuardKeeper {
    /// Changes within this time are saved together.
    static let settlingTime: Duration = .seconds(1)
    static let pauseMin: Duration = .seconds(5)
    /// The pause after a writing is this many times its duration, for slow disks and long files; a disk that hung once
    /// doesn't put off the next one for longer than ``pauseMax``.
    static let pausePerWriting = 100
    static let pauseMax: Duration = .seconds(300)
    /// After this time the guard is saved again even without a change, so that grants that live on are remembered
    /// from then on.
    static let ageMax: Duration = .seconds(43_200)
    /// Time limit of the last writing, when the daemon ends.
    static let lastWritingMax: TimeAmount = .seconds(2)

    /// Writes the snapshot; returns the error, if any.
    typealias Writing = @Sendable (GuardSnapshot) -> String?

    private let loop: any EventLoop
    private let write: Writing
    private let told: (String) -> Void
    private let pool = NIOThreadPool(numberOfThreads: 1)
    private var isStarted = false
    private var isWriting = false
    private var savedMark: UInt64?
    private var changedAt: Instant?
    private var notBefore = Instant.zero
    private var savedAt = Instant.zero
    private var hasComplained = false

    /// - Parameter told: called once when the disk can't be written to, and again only after a writing succeeded.
    init(on loop: any EventLoop, write: @escaping Writing, told: @escaping (String) -> Void) {
        self.loop = loop
        self.write = write
        self.told = told
    }

    static func writing(to file: GuardFile, at place: SavedGuard.Place?) -> Writing {
        { snapshot in
            do {
                try file.write(snapshot.saved(at: place).text)
                return nil
            } catch {
                return "\(error)"
            }
        }
    }

    /// - Parameters:
    ///   - mark: grows with each change.
    ///   - snapshot: `nil` if there is nothing to save yet.
    func timeAdvanced(to now: Instant, mark: UInt64, snapshot: () -> GuardSnapshot?) {
        guard mark != savedMark || now >= savedAt + Self.ageMax else {
            changedAt = nil
            return
        }
        let since = changedAt ?? now
        changedAt = since
        guard !isWriting, now >= since + Self.settlingTime, now >= notBefore, let snapshot = snapshot() else { return }
        save(snapshot, mark, at: now)
    }

    /// Writes the changes since the last writing, if any, before the daemon ends.
    /// - Returns: completes when they are written; a disk may hang (``lastWritingMax``).
    func close(at now: Instant, mark: UInt64, snapshot: GuardSnapshot?) -> EventLoopFuture<Void> {
        guard let snapshot, mark != savedMark || isWriting else { return loop.makeSucceededVoidFuture() }
        // Queued behind the writing under way, since there is one thread.
        return save(snapshot, mark, at: now)
    }

    @discardableResult
    private func save(_ snapshot: GuardSnapshot, _ mark: UInt64, at now: Instant) -> EventLoopFuture<Void> {
        if !isStarted {
            isStarted = true
            pool.start()
        }
        isWriting = true
        changedAt = nil
        let this = NIOLoopBound(self, eventLoop: loop)
        let write = write
        return pool.runIfActive(eventLoop: loop) {
            let start = HostClock.now()
            let failure = write(snapshot)
            return (failure, HostClock.now() - start)
        }.map { failure, duration in this.value.written(mark, startedAt: now, failure, duration) }
    }

    /// From the end of a writing that took so long.
    static func pause(after duration: Duration) -> Duration {
        min(max(pauseMin, min(duration, pauseMax) * pausePerWriting), pauseMax)
    }

    private func written(_ mark: UInt64, startedAt start: Instant, _ failure: String?, _ duration: Duration) {
        isWriting = false
        notBefore = start + duration + Self.pause(after: duration)
        if let failure {
            if !hasComplained { told(failure) }
            hasComplained = true
        } else {
            hasComplained = false
            (savedMark, savedAt) = (mark, start)
        }
    }
}

extension EventLoop {
    /// Completes once all of these have, or after the time.
    func within(_ limit: TimeAmount, _ steps: EventLoopFuture<Void>?...) -> EventLoopFuture<Void> {
        let steps = steps.compactMap { $0 }
        guard !steps.isEmpty else { return makeSucceededVoidFuture() }
        let promise = makePromise(of: Void.self)
        let isOver = NIOLoopBoundBox(false, eventLoop: self)
        let end: @Sendable () -> Void = {
            guard !isOver.value else { return }
            isOver.value = true
            promise.succeed()
        }
        EventLoopFuture.whenAllComplete(steps, on: self).whenComplete { _ in end() }
        scheduleTask(in: limit) { end() }
        return promise.futureResult
    }
}
