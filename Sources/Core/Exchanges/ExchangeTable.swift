/// The exchanges under way, in a slot map: an exchange is found by its slot, without hashing.
///
/// An ``Exchange/ID`` is a serial number and a slot. A later exchange in the same slot has another id, and younger exchanges
/// have larger serial numbers.
struct ExchangeTable: Sendable {
    private struct Place {
        var id: Exchange.ID
        var exchange: Exchange?

        mutating func change(_ body: (inout Exchange) -> Void) {
            guard var changed = exchange.take() else { return }
            body(&changed)
            exchange = changed
        }
    }

    private var places: [Place] = []
    private var free: [Int] = []
    private var serial = 0
    private(set) var count = 0

    private static let placeBits = 16

    var isEmpty: Bool { count == 0 }

    /// The caller ensures that there are at most 65,536 exchanges.
    mutating func insert(_ exchange: consuming Exchange) -> Exchange.ID {
        serial += 1
        count += 1
        guard let number = free.popLast() else {
            let id = serial << Self.placeBits | places.count
            places.append(Place(id: id, exchange: exchange))
            return id
        }
        let id = serial << Self.placeBits | number
        places[number] = Place(id: id, exchange: exchange)
        return id
    }

    private func number(of id: Exchange.ID) -> Int? {
        let number = id & (1 << Self.placeBits - 1)
        return number < places.count && places[number].id == id ? number : nil
    }

    subscript(id: Exchange.ID) -> Exchange? { number(of: id).flatMap { places[$0].exchange } }

    func request(of id: Exchange.ID) -> Exchange.Request? { number(of: id).flatMap { places[$0].exchange?.request } }

    /// Changes the exchange with this id, if it still exists.
    mutating func change(_ id: Exchange.ID, _ body: (inout Exchange) -> Void) {
        guard let number = number(of: id) else { return }
        places[number].change(body)
    }

    mutating func remove(_ id: Exchange.ID) -> Exchange? {
        guard let number = number(of: id) else { return nil }
        var removed: Exchange?
        swap(&removed, &places[number].exchange)
        if removed != nil {
            free.append(number)
            count -= 1
        }
        return removed
    }

    /// In no order.
    var requests: some Sequence<Exchange.Request> { places.lazy.compactMap { $0.exchange?.request } }

    /// The oldest first.
    var all: [(id: Exchange.ID, exchange: Exchange)] {
        places.compactMap { place in place.exchange.map { (place.id, $0) } }.sorted { $0.id < $1.id }
    }
}
