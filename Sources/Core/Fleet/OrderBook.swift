import FleetRecords

/// The signed orders that the store holds; each is handed to the daemon once, and again to a daemon that is new.
public struct OrderBook: Sendable {
    public struct Entry: Hashable, Sendable {
        public var id: String
        public var text: String
    }

    private var orders: [String: String] = [:]
    /// Beyond the limit, or too long: orders of a publisher gone wild.
    public private(set) var refused = 0

    public init() {}

    public var count: Int { orders.count }

    /// - Returns: the order, if the daemon doesn't know it yet.
    public mutating func put(_ id: String, _ bytes: [UInt8]) -> Entry? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard bytes.count <= SidecarMessage.orderBytesMax, text.utf8.elementsEqual(bytes),
            orders[id] != nil || orders.count < FleetLimits.ordersMax
        else {
            refused += 1
            return nil
        }
        guard orders[id] != text else { return nil }
        orders[id] = text
        return Entry(id: id, text: text)
    }

    /// Its lease is over.
    public mutating func delete(_ id: String) { orders[id] = nil }

    public var entries: [Entry] { orders.sorted { $0.key < $1.key }.map { Entry(id: $0.key, text: $0.value) } }
}
