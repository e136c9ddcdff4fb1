import NIOCore
import NIOPosix
import Privilege

/// The queue of policy updates: one update at a time; reading and compiling run on a separate thread, which also makes
/// long replies of the control socket.
///
/// ```
/// settled ──reload─▶ reading ─▶ names asked, for a while ─▶ compiling, the netfilter process reads too ─▶ in force
///    │                  └─ refused
///    └──other addresses─▶ compiling ─▶ in force
/// ```
/// Requests during an update are handled by the next one.
struct PolicyUpdates {
    /// Promises of reloads that have not begun.
    var asked: [EventLoopPromise<[String]>] = []
    /// Whether a host name has other addresses than the policy was compiled with.
    var areNamesStale = false
    /// The result of the netfilter process's reading.
    var reading: FileReading?
    private(set) var isUnderWay = false
    private var waiting: [EventLoopPromise<[String]>] = []
    private let loop: any EventLoop
    private let pool = NIOThreadPool(numberOfThreads: 1)
    private var isStarted = false

    init(on loop: any EventLoop) { self.loop = loop }

    /// Whether no update is under way or requested.
    var isSettled: Bool { !isUnderWay && asked.isEmpty && !areNamesStale }

    /// - Returns: whether the update is a reload.
    mutating func begin() -> Bool {
        isUnderWay = true
        reading = nil
        (waiting, asked) = (asked, [])
        return !waiting.isEmpty
    }

    /// - Returns: the promises to complete with the result.
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

    /// Work that is still on the thread ends with the process.
    /// - Returns: the promises to fail.
    mutating func close() -> [EventLoopPromise<[String]>] {
        defer { (waiting, asked) = ([], []) }
        if isStarted { pool.shutdownGracefully { _ in } }
        return waiting + asked
    }
}
