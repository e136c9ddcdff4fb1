import NIOCore
import NIOPosix
import Privilege

/// What is to become of the policy: one update at a time, whose reading and compiling have a thread of their own.
///
/// ```
/// settled ──reload─▶ reading ─▶ names asked, for a while ─▶ compiling, the netfilter process reads too ─▶ in force
///    │                  └─ refused
///    └──other addresses─▶ compiling ─▶ in force
/// ```
/// What is asked for meanwhile follows.
struct PolicyUpdates {
    /// Callers of reloads that have not begun.
    var asked: [EventLoopPromise<[String]>] = []
    /// A host name has other addresses than the policy was compiled with.
    var areNamesStale = false
    /// How the netfilter process's reading ended.
    var reading: FileReading?
    private(set) var isUnderWay = false
    private var waiting: [EventLoopPromise<[String]>] = []
    private let loop: any EventLoop
    private let pool = NIOThreadPool(numberOfThreads: 1)
    private var isStarted = false

    init(on loop: any EventLoop) { self.loop = loop }

    /// Nothing is under way, and nothing is asked for.
    var isSettled: Bool { !isUnderWay && asked.isEmpty && !areNamesStale }

    /// - Returns: whether it is a reload.
    mutating func begin() -> Bool {
        isUnderWay = true
        reading = nil
        (waiting, asked) = (asked, [])
        return !waiting.isEmpty
    }

    /// - Returns: who is to be told how it ended.
    mutating func end() -> [EventLoopPromise<[String]>] {
        defer { waiting = [] }
        isUnderWay = false
        return waiting
    }

    mutating func takeReading() -> FileReading? {
        defer { reading = nil }
        return reading
    }

    mutating func run<Value: Sendable>(_ work: @escaping @Sendable () -> Value) -> EventLoopFuture<Value> {
        if !isStarted {
            isStarted = true
            pool.start()
        }
        return pool.runIfActive(eventLoop: loop, work)
    }

    /// Whatever the thread is still doing ends with the process.
    /// - Returns: who waits in vain.
    mutating func close() -> [EventLoopPromise<[String]>] {
        defer { (waiting, asked) = ([], []) }
        if isStarted { pool.shutdownGracefully { _ in } }
        return waiting + asked
    }
}
