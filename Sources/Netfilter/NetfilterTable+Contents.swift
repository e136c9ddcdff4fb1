import CNetfilter
import Firewall
import Glibc
import Portmapper

extension NetfilterTable {
    /// How often a read that changes interrupted is begun anew.
    private static let attemptsMax = 5

    /// The elements of the table; `nil` if there is no such table.
    ///
    /// - Throws: ``NetfilterError/foreign(table:missing:)`` if the table there is not ours.
    public func contents(of table: String) throws(NetfilterError) -> TableContents? {
        for _ in 0..<Self.attemptsMax {
            guard try exists(table) else { return nil }
            let (timeouts, isConsistent) = try sets(of: table)
            if !isConsistent { continue }
            if let contents = try elements(of: table, timeouts) { return contents }
        }
        throw .unsettled(table: table)
    }

    private func exists(_ table: String) throws(NetfilterError) -> Bool {
        do throws(NetfilterError) {
            _ = try ask("reading table inet \(table)", NFT_MSG_GETTABLE, NLM_F_ACK) {
                $0.put(NFTA_TABLE_NAME.rawValue, table)
            }
            return true
        } catch {
            guard case .failed(_, ENOENT, _) = error else { throw error }
            return false
        }
    }

    /// The default timeout of each of our sets, which elements with the same don't repeat.
    private func sets(of table: String) throws(NetfilterError) -> (timeouts: [TableSet: Duration], isConsistent: Bool) {
        var timeouts: [TableSet: Duration] = [:]
        let isConsistent = try ask("reading the sets of table inet \(table)", NFT_MSG_GETSET, NetlinkSocket.dump) {
            $0.put(NFTA_SET_TABLE.rawValue, table)
        } each: { message in
            guard let (set, timeout) = Self.ourSet(message.netfilterAttributes) else { return }
            timeouts[set] = timeout
        }
        let missing = TableSet.allCases.filter { timeouts[$0] == nil }
        if isConsistent && !missing.isEmpty { throw .foreign(table: table, missing: missing.map(\.rawValue)) }
        return (timeouts, isConsistent)
    }

    /// The set, if name, key and flags are those of one of ours.
    private static func ourSet(_ attributes: Attributes) -> (TableSet, Duration)? {
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
        guard let set, keyBytes == UInt32(set.keyBytes), flags == set.flags else { return nil }
        return (set, Duration(kernelMilliseconds: timeout))
    }

    private func elements(
        of table: String, _ timeouts: [TableSet: Duration]
    ) throws(NetfilterError) -> TableContents? {
        var contents = TableContents()
        for set in TableSet.allCases {
            let doing = "reading set \(set.rawValue) of table inet \(table)"
            let isConsistent = try ask(doing, NFT_MSG_GETSETELEM, NetlinkSocket.dump) {
                $0.put(NFTA_SET_ELEM_LIST_TABLE.rawValue, table)
                $0.put(NFTA_SET_ELEM_LIST_SET.rawValue, set.rawValue)
            } each: { message in
                for list in message.netfilterAttributes where list.type == NFTA_SET_ELEM_LIST_ELEMENTS.rawValue {
                    for attribute in list.nested {
                        contents.add(ElementAttributes(attribute.nested), of: set, timeouts[set] ?? .zero)
                    }
                }
            }
            if !isConsistent { return nil }
        }
        return contents
    }

    private func ask(
        _ doing: String, _ type: nf_tables_msg_types, _ flags: Int32, _ body: (inout MessageBuffer) -> Void,
        each: (NetlinkMessage) -> Void = { _ in }
    ) throws(NetfilterError) -> Bool {
        try socket.askNetfilter(
            doing, subsystem: NFNL_SUBSYS_NFTABLES, message: type.rawValue, flags: flags, family: NFPROTO_INET, body,
            each: each)
    }
}

extension TableContents {
    fileprivate mutating func add(_ element: ElementAttributes, of set: TableSet, _ timeout: Duration) {
        switch element.key(in: set) {
        case .guarded(let service): guarded.insert(service)
        case .granted(let key): granted.append(element.grant(key, setTimeout: timeout))
        case .standing(let key): standing.insert(key)
        // One without timeout stays until it is released.
        case .quarantined(let client): quarantined[client] = element.expiresIn ?? .seconds(Int64.max)
        case nil: break
        }
    }
}
