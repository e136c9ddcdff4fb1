import Clock
import FleetRecords

/// What waits to be told to the sidecar. If it reads too slowly, everything that waits is dropped, and it is told
/// everything anew. Pure.
///
///     closed ──opened──▶ resyncing(place) ──last page──▶ live
///                            ▲                             │
///                            └──────too much waits─────────┘
struct FleetOutlet {
    enum Phase: Hashable {
        case closed
        /// The place of the next page; `nil`: at the beginning.
        case resyncing(nextPlace: Int?)
        case live
    }

    private(set) var phase = Phase.closed
    private(set) var overruns = 0
    /// Oldest first; what happens during a resync is told after it.
    private var waiting: [DaemonMessage] = []
    private var told = 0

    static let waitingMax = 16_384
    static let toldMax = 1024
    /// Places of a page: one step of the loop, in which no call is answered.
    static let pagePlaces = 256

    var waitingCount: Int { waiting.count - told }
    /// The messages in memory.
    var held: Int { waiting.count }

    mutating func opened() {
        phase = .resyncing(nextPlace: nil)
        clear()
    }

    mutating func closed() {
        phase = .closed
        clear()
    }

    private mutating func clear() { (waiting, told) = ([], 0) }

    /// Everything is told anew, now.
    mutating func beginResync() { if phase != .closed { opened() } }

    mutating func tell(_ message: DaemonMessage) {
        guard phase != .closed else { return }
        guard waitingCount < Self.waitingMax else {
            overruns += 1
            return opened()
        }
        waiting.append(message)
    }

    /// The next messages to write; empty if there is nothing to tell.
    ///
    /// - Parameter page: the messages of some places from this one on, and the place after them.
    mutating func take(
        _ count: Int, page: (_ place: Int) -> (messages: [DaemonMessage], next: Int?)
    ) -> [DaemonMessage] {
        switch phase {
        case .closed: return []
        case .resyncing(let place):
            let (messages, next) = page(place ?? 0)
            phase = next.map { .resyncing(nextPlace: $0) } ?? .live
            return (place == nil ? [.resyncBegan] : []) + messages + (next == nil ? [.resyncEnded] : [])
        case .live:
            let end = min(waiting.count, told + count)
            let messages = Array(waiting[told..<end])
            told = end
            // What was told is given back, however little is left.
            if told == waiting.count { clear() }
            if told >= Self.toldMax {
                waiting.removeFirst(told)
                told = 0
            }
            return messages
        }
    }
}
