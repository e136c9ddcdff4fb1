import Bundles
import Clock

/// Orders of the fleet that wait to be verified, one at a time: whoever holds the store may send as many as it likes, and
/// each costs a verification.
///
/// ```
/// waiting ──next──▶ verified ──refused for good──▶ (told)
///    ▲                  └──can't be verified yet──▶ later
///    └──────────────── 30 s, for a day ────────────┘
/// ```
/// The publisher's clock may be ahead of this node's, and the keys may be written at that moment.
struct OrderQueue {
    struct Order: Hashable {
        var id: String
        var text: String
        /// When it couldn't be verified first.
        fileprivate(set) var since: Instant?

        init(id: String, text: String) { (self.id, self.text) = (id, text) }

        static func == (one: Self, other: Self) -> Bool { one.id == other.id && one.text == other.text }

        func hash(into hasher: inout Hasher) {
            hasher.combine(id)
            hasher.combine(text)
        }
    }

    private var waiting: [Order] = []
    private var later: [Order] = []
    /// Those of both.
    private var held: Set<Order> = []
    private var laterAt = Instant.zero

    static let pause = Duration.seconds(30)

    var isEmpty: Bool { held.isEmpty }

    /// Those that can be verified now.
    var waitingCount: Int { waiting.count }

    /// The same order may be handed over again, by a sidecar that is new.
    /// - Returns: whether there was a place for it.
    mutating func add(_ order: Order) -> Bool {
        if held.contains(order) { return true }
        guard held.count < FleetOrder.countMax else { return false }
        held.insert(order)
        waiting.append(order)
        return true
    }

    mutating func removeAll() { self = Self() }

    /// The order to verify now.
    mutating func next(at now: Instant) -> Order? {
        if waiting.isEmpty, now >= laterAt { swap(&waiting, &later) }
        return waiting.isEmpty ? nil : held.remove(waiting.removeFirst())
    }

    /// The order can't be verified yet.
    /// - Returns: whether that is new.
    mutating func postpone(_ order: Order, at now: Instant) -> Bool {
        let since = order.since ?? now
        guard now - since < FleetOrder.ageMax, !held.contains(order) else { return false }
        if later.isEmpty { laterAt = now + Self.pause }
        var order = order
        let isNew = order.since == nil
        order.since = since
        held.insert(order)
        later.append(order)
        return isNew
    }
}
