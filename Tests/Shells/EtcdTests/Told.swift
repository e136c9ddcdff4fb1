import Etcd
import Glibc
import Synchronization
import Testing

/// What a watch told so far.
final class Told: Sendable {
    private let events = Mutex<[EtcdWatchEvent]>([])

    var all: [EtcdWatchEvent] { events.withLock { $0 } }
    func add(_ event: EtcdWatchEvent) { events.withLock { $0.append(event) } }

    /// The changes of a range in their order.
    func changes(of range: Int = 0) -> [EtcdChange] {
        all.flatMap { event in
            if case .changed(range, let changes, _) = event { changes } else { [] as [EtcdChange] }
        }
    }

    var end: EtcdWatchEnd? {
        if case .ended(let end)? = all.last { end } else { nil }
    }

    var isOpen: Bool { all.contains { if case .opened = $0 { true } else { false } } }

    /// Waits until it holds.
    func wait(_ isTold: (Told) -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while !isTold(self) {
            try #require(ContinuousClock.now < deadline, "\(all)")
            usleep(1000)
        }
    }
}

extension EtcdClient {
    /// A watch that is open.
    func opened(_ ranges: [EtcdRange], from revision: Int64) throws -> (watch: EtcdWatch, told: Told) {
        let told = Told()
        let watch = watch(ranges, from: revision) { told.add($0) }
        try told.wait { $0.isOpen || $0.end != nil }
        return (watch, told)
    }
}
