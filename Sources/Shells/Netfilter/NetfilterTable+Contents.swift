import Addresses
import CNetfilter
import Firewall
import Glibc

extension NetfilterTable {
    /// How often the table is read until a reading is consistent.
    private static let attemptsMax = 8

    /// The elements of the table; `nil` if there is no such table.
    ///
    /// - Parameters:
    ///   - isShared: the administrator has rules in the table (`manage: sets`), and may have declared only those
    ///     of rpcwarden's sets that these rules use; the others count as empty.
    ///   - mayBeKept: whether a grant with so much time left may stay in a table that is taken over; `nil`: no
    ///     grant may.
    /// - Throws: ``NetfilterError/foreign(table:missing:)`` if the table isn't rpcwarden's.
    public func contents(
        of table: String, isShared: Bool = false, mayBeKept: ((GrantKey, Duration) -> Bool)? = nil
    ) throws(NetfilterError) -> TableContents? {
        found = nil
        var last: TableContents?
        for _ in 0..<Self.attemptsMax {
            guard try exists(table) else { return nil }
            let parts = mayBeKept == nil ? nil : try parts(of: table)
            let (timeouts, isConsistent) = try sets(of: table, isShared: isShared)
            guard isConsistent, var reading = try elements(of: table, timeouts, mayBeKept, parts?.grantCount ?? 0)
            else {
                continue
            }
            if reading.mayBeKept, let parts, parts.hold(just: reading.contents.granted),
                try self.parts(of: table) == parts
            {
                found = parts
                reading.contents.grantsMayBeKept = true
            }
            if !reading.hasRepetitions || last?.hasKeys(of: reading.contents) == true { return reading.contents }
            last = reading.contents
        }
        throw .unsettled(table: table)
    }

    /// The netlink port of the table's owner, the only process that may change it; ``portID`` if this process is
    /// the owner; `nil` if the table has no owner (any more), or doesn't exist.
    public func owner(of table: String) throws(NetfilterError) -> UInt32? {
        try number(NFTA_TABLE_OWNER, of: table)
    }

    private func exists(_ table: String) throws(NetfilterError) -> Bool {
        try exists("table inet \(table)", NFT_MSG_GETTABLE) { $0.put(NFTA_TABLE_NAME.rawValue, table) }
    }

    /// Whether the table has rpcwarden's own rules, which guard management makes.
    func hasRules(_ table: String) throws(NetfilterError) -> Bool {
        try exists("chain guarded_port of table inet \(table)", NFT_MSG_GETCHAIN) {
            $0.put(NFTA_CHAIN_TABLE.rawValue, table)
            $0.put(NFTA_CHAIN_NAME.rawValue, "guarded_port")
        }
    }

    func exists(
        _ what: String, _ type: nf_tables_msg_types, _ body: (inout MessageBuffer) -> Void,
        each: (NetlinkMessage) -> Void = { _ in }
    ) throws(NetfilterError) -> Bool {
        do throws(NetfilterError) {
            _ = try ask("reading \(what)", type, NLM_F_ACK, body, each: each)
            return true
        } catch {
            guard case .failed(_, ENOENT, _) = error else { throw error }
            return false
        }
    }

    /// The default timeout of each of rpcwarden's sets; the kernel leaves it out of elements that have the same
    /// timeout.
    private func sets(
        of table: String, isShared: Bool
    ) throws(NetfilterError) -> (timeouts: [TableSet: Duration], isConsistent: Bool) {
        var timeouts: [TableSet: Duration] = [:]
        var named: Set<TableSet> = []
        let isConsistent = try ask("reading the sets of table inet \(table)", NFT_MSG_GETSET, NetlinkSocket.dump) {
            $0.put(NFTA_SET_TABLE.rawValue, table)
        } each: { message in
            guard let (set, timeout) = Self.ourSet(message.netfilterAttributes) else { return }
            named.insert(set)
            timeouts[set] = timeout
        }
        // An earlier version of rpcwarden made only the sets that are adopted.
        let missing = (gateway == nil ? TableSet.ofThisHost : TableSet.allCases).filter {
            // Without a gateway there were none of the servers' sets.
            timeouts[$0] == nil && (named.contains($0) || !isShared && $0.isAdopted && !$0.isOfServers)
        }
        if isConsistent && !missing.isEmpty { throw .foreign(table: table, missing: missing.map(\.rawValue)) }
        return (timeouts, isConsistent)
    }

    /// The set, if it has the name of one of rpcwarden's sets; and its timeout, if key and flags match, too.
    static func ourSet(_ attributes: Attributes) -> (TableSet, timeout: Duration?)? {
        var set: TableSet?
        var flags: UInt32 = 0
        var keyBytes: UInt32?
        var timeout: UInt64 = 0
        for attribute in attributes {
            switch attribute.type {
            case NFTA_SET_NAME.rawValue: set = TableSet(rawValue: attribute.payload.text)
            case NFTA_SET_FLAGS.rawValue: flags = attribute.payload.bigEndian(UInt32.self) ?? 0
            case NFTA_SET_KEY_LEN.rawValue: keyBytes = attribute.payload.bigEndian(UInt32.self)
            case NFTA_SET_TIMEOUT.rawValue: timeout = attribute.payload.bigEndian(UInt64.self) ?? 0
            default: break
            }
        }
        guard let set else { return nil }
        guard keyBytes == UInt32(set.keyBytes), flags == set.flags else { return (set, timeout: nil) }
        return (set, Duration(kernelMilliseconds: timeout))
    }

    private struct Reading {
        var contents = TableContents()
        /// Whether the kernel reported an element twice.
        var hasRepetitions = false
        /// Whether all grants that were read may stay.
        var mayBeKept = true
    }

    /// One reading of all sets; `nil` if the kernel says that they changed during the reading.
    ///
    /// The kernel doesn't report the resizing of a hash table, which happens some time after elements were added
    /// or deleted: then some elements are reported twice, and as many not at all (95,723 of 100,000 seen). So a
    /// reading with repetitions is accepted only if the next one has the same keys: then the repetitions are twins
    /// added by packets, see `revokeForGood`.
    private func elements(
        of table: String, _ timeouts: [TableSet: Duration], _ mayBeKept: ((GrantKey, Duration) -> Bool)?,
        _ grantCount: Int
    ) throws(NetfilterError) -> Reading? {
        var reading = Reading()
        reading.contents.granted.reserveCapacity(grantCount)
        var count = 0
        let countings: UInt64 = try hasRules(table) ? 2 : 1
        for set in adoptedSets where timeouts[set] != nil {
            let isConsistent = try elements(of: set, in: table) { attributes in
                let element = ElementAttributes(attributes, countingsPerPacket: countings)
                let key = element.key(in: set, gateway)
                if reading.contents.add(key, element, timeouts[set] ?? .zero) { count += 1 }
                if reading.mayBeKept, TableSet.granted(gateway).contains(set) {
                    reading.mayBeKept = mayBeKept.map { element.isGrant(key, that: $0) } ?? false
                }
            }
            if !isConsistent { return nil }
        }
        reading.contents.granted = reading.contents.granted.merged()
        reading.contents.remembered = reading.contents.remembered.merged()
        reading.hasRepetitions = reading.contents.count < count
        return reading
    }

    /// Without a gateway its sets are ignored, and so are servers that a gateway doesn't have any more.
    private var adoptedSets: [TableSet] {
        TableSet.allCases.filter { $0.isAdopted && (gateway != nil || !$0.isOfServers) }
    }

    /// - Returns: false if the set changed during the reading.
    private func elements(
        of set: TableSet, in table: String, each: (Attributes) -> Void
    ) throws(NetfilterError) -> Bool {
        let doing = "reading set \(set.rawValue) of table inet \(table)"
        return try ask(doing, NFT_MSG_GETSETELEM, NetlinkSocket.dump) {
            $0.put(NFTA_SET_ELEM_LIST_TABLE.rawValue, table)
            $0.put(NFTA_SET_ELEM_LIST_SET.rawValue, set.rawValue)
        } each: { message in
            for list in message.netfilterAttributes where list.type == NFTA_SET_ELEM_LIST_ELEMENTS.rawValue {
                for attribute in list.nested { each(attribute.nested) }
            }
        }
    }

    /// The guarded ports; `nil` if there is no table. Unlike ``contents(of:isShared:mayBeKept:)``, it takes no time
    /// that grows with the grants.
    public func guarded(of table: String, isShared: Bool) throws(NetfilterError) -> Set<ServicePort>? {
        for _ in 0..<Self.attemptsMax {
            guard try exists(table) else { return nil }
            let (timeouts, areSetsConsistent) = try sets(of: table, isShared: isShared)
            guard areSetsConsistent else { continue }
            let sets = TableSet.guarded(gateway).filter { timeouts[$0] != nil }
            if let guarded = try guarded(of: sets, in: table) { return guarded }
        }
        throw .unsettled(table: table)
    }

    /// `nil` if a set changed during the reading.
    private func guarded(of sets: [TableSet], in table: String) throws(NetfilterError) -> Set<ServicePort>? {
        var guarded: Set<ServicePort> = []
        // A set that is being resized has some elements twice, and lacks as many.
        var hasRepetitions = false
        for set in sets {
            let isConsistent = try elements(of: set, in: table) {
                guard case .guarded(let service) = ElementAttributes($0).key(in: set, gateway) else { return }
                if !guarded.insert(service).inserted { hasRepetitions = true }
            }
            if !isConsistent || hasRepetitions { return nil }
        }
        return guarded
    }

    func ask(
        _ doing: String, _ type: nf_tables_msg_types, _ flags: Int32, _ body: (inout MessageBuffer) -> Void,
        each: (NetlinkMessage) -> Void = { _ in }
    ) throws(NetfilterError) -> Bool {
        try socket.askNetfilter(
            doing, subsystem: NFNL_SUBSYS_NFTABLES, message: type.rawValue, flags: flags, family: NFPROTO_INET, body,
            each: each)
    }
}

extension ElementAttributes {
    /// Whether the element is a grant with an expiration that may stay until then.
    fileprivate func isGrant(_ key: TableElement?, that mayBeKept: (GrantKey, Duration) -> Bool) -> Bool {
        guard case .granted(let key) = key, let expiresIn else { return false }
        return mayBeKept(key, expiresIn)
    }
}

extension TableContents {
    fileprivate var count: Int {
        guarded.count + granted.count + remembered.count + standing.count + callers.count + quarantined.count
    }

    fileprivate func hasKeys(of other: Self) -> Bool {
        guarded == other.guarded && standing == other.standing && callers == other.callers
            && quarantined.keys == other.quarantined.keys
            && Set(granted.map(\.key)) == Set(other.granted.map(\.key))
            && Set(remembered.map(\.key)) == Set(other.remembered.map(\.key))
    }

    /// Returns `false` if the element isn't of its set's kind.
    ///
    /// - Parameter timeout: the set's.
    fileprivate mutating func add(_ key: TableElement?, _ element: ElementAttributes, _ timeout: Duration) -> Bool {
        switch key {
        case .guarded(let service): guarded.insert(service)
        case .granted(let key): granted.append(element.grant(key, setTimeout: timeout))
        case .remembered(let key): remembered.append(element.grant(key, setTimeout: timeout))
        case .standing(let key): standing.insert(key)
        case .callers(let key): callers.insert(key)
        case .quarantined(let client): quarantined[client] = element.lifetime
        // The shield lasts for seconds; a daemon that starts meanwhile detects the flood again.
        case .shielded, nil: return false
        }
        return true
    }
}

extension [GrantElement] {
    /// The elements with twins merged: one for each key.
    fileprivate func merged() -> Self {
        var keys: Set<GrantKey> = []
        keys.reserveCapacity(count)
        guard !allSatisfy({ keys.insert($0.key).inserted }) else { return self }
        var indices: [GrantKey: Int] = [:]
        indices.reserveCapacity(count)
        var merged: Self = []
        merged.reserveCapacity(count)
        for element in self {
            if let index = indices[element.key] {
                merged[index].merge(element)
            } else {
                indices[element.key] = merged.count
                merged.append(element)
            }
        }
        return merged
    }
}

extension GrantElement {
    /// - Parameter twin: an element that a packet added has no comment.
    fileprivate mutating func merge(_ twin: Self) {
        timeout = max(timeout, twin.timeout)
        expiresIn = max(expiresIn, twin.expiresIn)
        packets += twin.packets
        bytes += twin.bytes
        if comment.isEmpty { comment = twin.comment }
    }
}
