import Bundles
import FleetRecords

/// The signed orders that the store holds; each is handed to the daemon once, and again to a daemon that is new.
///
/// Those that the store lost while it was away are found by what a whole reading doesn't bring.
public struct OrderBook: Sendable {
    public struct Entry: Hashable, Sendable {
        public var id: String
        public var text: String
    }

    private struct Held {
        var text: String
        /// The latest one that brought it.
        var reading: Int
    }

    private var orders: [String: Held] = [:]
    private var reading = 0
    /// Beyond the limit, or none that can be read: orders of a publisher gone wild. Since the latest reading began.
    public private(set) var refused = 0

    public init() {}

    public var count: Int { orders.count }

    public mutating func readingBegan() {
        reading += 1
        refused = 0
    }

    /// - Parameter isWhole: the store has no others.
    public mutating func readingEnded(isWhole: Bool) {
        if isWhole { orders = orders.filter { $0.value.reading == reading } } else { refused += 1 }
    }

    /// - Returns: the order, if the daemon doesn't know it yet.
    public mutating func put(_ id: String, _ bytes: [UInt8]) -> Entry? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard bytes.count <= FleetOrder.bytesMax, text.utf8.elementsEqual(bytes), makePlace(for: id) else {
            refused += 1
            return nil
        }
        let isKnown = orders[id]?.text == text
        orders[id] = Held(text: text, reading: reading)
        return isKnown ? nil : Entry(id: id, text: text)
    }

    /// What this reading hasn't brought yet gives way; if the store has it still, it comes again.
    private mutating func makePlace(for id: String) -> Bool {
        if orders[id] != nil || orders.count < FleetOrder.countMax { return true }
        guard let older = orders.first(where: { $0.value.reading != reading }) else { return false }
        orders[older.key] = nil
        return true
    }

    /// Its lease is over.
    public mutating func delete(_ id: String) { orders[id] = nil }

    public var entries: [Entry] { orders.sorted { $0.key < $1.key }.map { Entry(id: $0.key, text: $0.value.text) } }
}
