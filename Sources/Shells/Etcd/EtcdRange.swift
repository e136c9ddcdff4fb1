/// Keys from `from` up to, but without, `to`; `nil`: the one key.
public struct EtcdRange: Hashable, Sendable {
    public var from: [UInt8]
    public var to: [UInt8]?

    public init(from: [UInt8], to: [UInt8]?) {
        self.from = from
        self.to = to
    }

    public init(key: [UInt8]) { self.init(from: key, to: nil) }

    /// The end is the prefix with its last byte counted up; etcd means "to the last key" by a zero byte.
    public init(prefix: [UInt8]) {
        var end = prefix
        while end.last == .max { end.removeLast() }
        if let last = end.popLast() { end.append(last + 1) }
        self.init(from: prefix.isEmpty ? [0] : prefix, to: end.isEmpty ? [0] : end)
    }

    /// The rest of the range behind a key.
    public func after(_ key: [UInt8]) -> EtcdRange { EtcdRange(from: key + [0], to: to) }
}

public struct EtcdKeyValue: Hashable, Sendable {
    public var key: [UInt8]
    public var value: [UInt8]
    public var modRevision: Int64
    /// 0: none.
    public var lease: Int64

    public init(key: [UInt8], value: [UInt8], modRevision: Int64, lease: Int64) {
        self.key = key
        self.value = value
        self.modRevision = modRevision
        self.lease = lease
    }
}

public struct EtcdPage: Hashable, Sendable {
    public var records: [EtcdKeyValue]
    /// The store's newest; ask for the next page at the first page's.
    public var revision: Int64
    /// Whether the range has more than the limit let through.
    public var hasMore: Bool
    /// Of the keys whose values are too large to be read; they are not among the records.
    public var oversized = 0
    /// The last key, also one whose value is too large: the next page begins behind it.
    public var lastKey: [UInt8]?
    /// How many records it could have had.
    public var limit = 0

    init(records: [EtcdKeyValue], revision: Int64, hasMore: Bool) {
        self.records = records
        self.revision = revision
        self.hasMore = hasMore
        lastKey = records.last?.key
    }

    /// Whether the next page begins further on.
    func isBehind(_ key: [UInt8]?) -> Bool {
        guard let lastKey else { return false }
        return key?.lexicographicallyPrecedes(lastKey) ?? true
    }

    /// Of keys without their values, for these are too large.
    var withoutValues: EtcdPage {
        var page = self
        page.oversized = records.count
        page.records = []
        return page
    }
}
