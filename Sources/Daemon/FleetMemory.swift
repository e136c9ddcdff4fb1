import Clock
import FleetRecords
import NIOCore
import Synchronization
import System

/// What this node remembers of its fleet beyond its process: grants that were ended here, and orders that it followed.
/// A copy of another node must not bring the former back. Written on a thread, some time after a change.
final class FleetMemory {
    private let file: StateFile?
    private let thread: WorkThread
    private let told: (String) -> Void
    var orders = FollowedOrders()
    private var savedMark: UInt64 = 0
    private var savedOrders = FollowedOrders()
    private var isWriting = false
    private let writing = Writing()
    private var notBefore = Instant.zero
    private var hasComplained = false

    /// One writes at a time, and what the thread was given before the last time is older.
    private final class Writing: Sendable {
        private let isOver = Mutex(false)

        func write(_ text: [UInt8], to file: StateFile, isLast: Bool = false) -> String? {
            isOver.withLock { isOver in
                guard !isOver else { return nil }
                isOver = isLast
                do {
                    try file.write(text)
                    return nil
                } catch {
                    return "\(error)"
                }
            }
        }
    }

    static let name = "fleet"
    private static let bytesMax = 4 << 20
    private static let pause = Duration.seconds(1)

    init(folder: String?, on thread: WorkThread, told: @escaping (String) -> Void) {
        file = folder.map { StateFile(folder: $0, name: Self.name, ownsFolder: true) }
        self.thread = thread
        self.told = told
    }

    /// What an earlier run ended; the orders go into ``orders``. A line that can't be read is read over.
    func read() -> [DaemonMessage] {
        do {
            let bytes = try file?.contents(max: Self.bytesMax) ?? []
            var messages: [DaemonMessage] = []
            for line in bytes.split(separator: UInt8(ascii: "\n")) {
                if line.first == UInt8(ascii: "{") {
                    messages += message(line)
                } else {
                    orders.found(String(decoding: line, as: UTF8.self))
                }
            }
            savedOrders = orders
            return messages
        } catch {
            told("what was ended in the fleet isn't known any more: \(error)")
            return []
        }
    }

    private func message(_ line: ArraySlice<UInt8>) -> [DaemonMessage] {
        do {
            return [try DaemonMessage(line: line)]
        } catch {
            return []
        }
    }

    /// - Parameters:
    ///   - mark: grows with each end.
    ///   - ended: everything that was ended.
    func timeAdvanced(to now: Instant, mark: UInt64, ended: () -> [DaemonMessage]) {
        guard let file, !isWriting, now >= notBefore, mark != savedMark || orders != savedOrders else { return }
        isWriting = true
        notBefore = now + Self.pause
        let (ended, orders) = (ended(), orders)
        let this = NIOLoopBound(self, eventLoop: thread.loop)
        let writing = writing
        thread.run { writing.write(Self.text(ended, orders), to: file) }.whenComplete { result in
            this.value.isWriting = false
            guard case .success(let failure) = result else { return }
            this.value.written(mark, orders, failure)
        }
    }

    private func written(_ mark: UInt64, _ orders: FollowedOrders, _ failure: String?) {
        if let failure { return complain(failure) }
        (savedMark, savedOrders, hasComplained) = (mark, orders, false)
    }

    /// The last time, before the daemon ends. What the thread is writing is awaited.
    func close(mark: UInt64, ended: () -> [DaemonMessage]) {
        guard let file, mark != savedMark || orders != savedOrders else { return }
        if let failure = writing.write(Self.text(ended(), orders), to: file, isLast: true) { complain(failure) }
    }

    private static func text(_ ended: [DaemonMessage], _ orders: FollowedOrders) -> [UInt8] {
        ended.flatMap(\.line) + orders.lines.flatMap { Array("\($0)\n".utf8) }
    }

    private func complain(_ failure: String) {
        guard !hasComplained else { return }
        hasComplained = true
        told("what was ended in the fleet can't be remembered: \(failure)")
    }
}
