/// Rows by key, of which the lightest make room when there are too many; their sum is kept.
///
/// A key that lost its row and came back has less in its new row than it should: the rest is in ``others``.
struct BoundedTable {
    private let rowsMax: Int
    /// In the order in which they came.
    private(set) var rows: [(key: RowKey, value: Row)] = []
    private var places: [RowKey: Int] = [:]
    /// The sum of the rows that made room.
    private(set) var others: Row?
    /// How many rows made room; one key may be counted several times.
    private(set) var removedCount = 0

    init(rowsMax: Int) { self.rowsMax = rowsMax }

    mutating func add(_ row: Row, to key: RowKey) {
        if let place = places[key] {
            rows[place].value += row
            return
        }
        if rows.count >= rowsMax { makeRoom() }
        places[key] = rows.count
        rows.append((key, row))
    }

    /// The rows with the highest counts first.
    var sorted: [(key: RowKey, value: Row)] {
        Rank.order(
            rows.indices.map { place in
                let (key, row) = rows[place]
                return Rank(first: row.count, second: row.others, texts: key.order, place: place)
            }
        ).map { rows[$0] }
    }

    /// A quarter of the rows goes at once, so that a row costs little on average; of equal ones the oldest.
    ///
    /// Not in the order of a dictionary: what stays then has hashes that are near each other, and look-ups get slow.
    private mutating func makeRoom() {
        let goes = max(1, rowsMax / 4)
        let weights = rows.map(\.value.weight).sorted()
        let limit = weights[goes - 1]
        var leftAtLimit = goes - weights.prefix { $0 < limit }.count
        var kept: [(key: RowKey, value: Row)] = []
        kept.reserveCapacity(rowsMax)
        places.removeAll(keepingCapacity: true)
        for (key, row) in rows {
            guard row.weight < limit || row.weight == limit && leftAtLimit > 0 else {
                places[key] = kept.count
                kept.append((key, row))
                continue
            }
            if row.weight == limit { leftAtLimit -= 1 }
            removedCount += 1
            if others == nil { others = row } else { others? += row }
        }
        rows = kept
    }
}

/// Where something stands in a list: the highest numbers first, then by texts.
struct Rank {
    var first: Int
    var second = 0
    var texts: [String]
    /// In the list that is ordered.
    var place: Int

    /// The places in their order. One type for all lists: each that is sorted costs kilobytes of code.
    static func order(_ ranks: [Rank]) -> [Int] {
        ranks.sorted { one, other in
            if one.first != other.first { return one.first > other.first }
            return one.second != other.second
                ? one.second > other.second : one.texts.lexicographicallyPrecedes(other.texts)
        }.map(\.place)
    }
}

/// The first items, and how many there were in all.
struct BoundedList<Item> {
    private let itemsMax: Int
    private(set) var items: [Item] = []
    private(set) var count = 0

    init(itemsMax: Int) { self.itemsMax = itemsMax }

    /// - Returns: the item's place; `nil`: it has none.
    @discardableResult
    mutating func append(_ item: Item) -> Int? {
        count += 1
        guard items.count < itemsMax else { return nil }
        items.append(item)
        return items.count - 1
    }

    mutating func change(_ place: Int, _ body: (inout Item) -> Void) { body(&items[place]) }

    var leftOut: Int { count - items.count }
}

/// Names of a log, each told once; beyond a number of them all are one.
struct NameBook {
    private let namesMax: Int
    private(set) var names: [String] = []
    private var places: [String: Int] = [:]
    /// Lines with a name that has no place.
    private(set) var homelessCount = 0

    /// Cut text: the names of a log are nobody's proof.
    static let bytesMax = 128

    init(namesMax: Int) { self.namesMax = namesMax }

    /// The place of a name that has none.
    var others: Int { namesMax }

    mutating func place(of name: String) -> Int {
        let name = name.cut(Self.bytesMax)
        if let place = places[name] { return place }
        guard names.count < namesMax else {
            homelessCount += 1
            return others
        }
        names.append(name)
        places[name] = names.count - 1
        return names.count - 1
    }

    subscript(_ place: Int) -> String { place < names.count ? names[place] : "(others)" }
}

extension String {
    /// The text's beginning of at most that many bytes.
    func cut(_ bytesMax: Int) -> String {
        guard utf8.count > bytesMax else { return self }
        var text = self[...]
        while text.utf8.count > bytesMax { text = text.dropLast(max(1, (text.utf8.count - bytesMax) / 4)) }
        return String(text)
    }
}
