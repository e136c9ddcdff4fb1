import CNetfilter
import Firewall

/// Taking over the table that an earlier run left, with its grants where they are.
///
/// To make 65,536 elements anew takes the kernel 0.4 s. So all is made anew but the sets of grants; the kernel itself
/// refuses sets of another kind under these names. They may stay only if nothing is in them but what was read. The kernel
/// passes over elements while a hash table grows, or while expired ones are swept away; so it must count as many before
/// and after as it told. It counts since 6.18; where it doesn't, everything is made anew.
extension NetfilterTable {
    /// What a table that nobody owns consists of, its elements apart.
    struct Orphan: Equatable {
        var table: String
        /// Changes with each transaction, of whatever table.
        var generation: UInt32
        var chains: [String]
        var sets: [String]
        /// How many elements each set of grants has, those included that have expired.
        fileprivate var grants: [TableSet: Int] = [:]
    }

    /// `nil` if there is no such table, or it is owned, or has more to it than chains and sets, or elements aren't counted.
    func orphan(_ table: String) throws(NetfilterError) -> Orphan? {
        let generation = try generation()
        guard let parts = try orphanedParts(table) else { return nil }
        var orphan = Orphan(table: table, generation: generation, chains: try chains(of: table), sets: [])
        _ = try ask("reading the sets of table inet \(table)", NFT_MSG_GETSET, NetlinkSocket.dump) {
            $0.put(NFTA_SET_TABLE.rawValue, table)
        } each: { message in
            orphan.add(set: message.netfilterAttributes)
        }
        return orphan.chains.count + orphan.sets.count == parts ? orphan : nil
    }

    /// - Returns: how many chains, named sets, objects and flow tables it has; `nil` if it isn't owned by nobody.
    private func orphanedParts(_ table: String) throws(NetfilterError) -> Int? {
        var flags: UInt32?
        var parts: UInt32?
        _ = try exists("table inet \(table)", NFT_MSG_GETTABLE) {
            $0.put(NFTA_TABLE_NAME.rawValue, table)
        } each: { message in
            for attribute in message.netfilterAttributes {
                switch attribute.type {
                case NFTA_TABLE_FLAGS.rawValue: flags = attribute.payload.bigEndian(UInt32.self)
                case NFTA_TABLE_USE.rawValue: parts = attribute.payload.bigEndian(UInt32.self)
                default: break
                }
            }
        }
        return flags == UInt32(CNF_TABLE_F_PERSIST) ? parts.map(Int.init) : nil
    }

    private func generation() throws(NetfilterError) -> UInt32 {
        var generation: UInt32 = 0
        _ = try ask("reading the generation", NFT_MSG_GETGEN, NLM_F_ACK) { _ in
        } each: { message in
            let attribute = message.netfilterAttributes.first { $0.type == NFTA_GEN_ID.rawValue }
            generation = attribute?.payload.bigEndian(UInt32.self) ?? 0
        }
        return generation
    }

    private func chains(of table: String) throws(NetfilterError) -> [String] {
        var chains: [String] = []
        _ = try ask("reading the chains of table inet \(table)", NFT_MSG_GETCHAIN, NetlinkSocket.dump) { _ in
        } each: { message in
            var (owner, name) = ("", "")
            for attribute in message.netfilterAttributes {
                switch attribute.type {
                case NFTA_CHAIN_TABLE.rawValue: owner = attribute.payload.text
                case NFTA_CHAIN_NAME.rawValue: name = attribute.payload.text
                default: break
                }
            }
            if owner == table { chains.append(name) }
        }
        return chains
    }
}

extension NetfilterTable.Orphan {
    fileprivate mutating func add(set attributes: Attributes) {
        var (name, flags, count) = ("", UInt32(0), UInt32?.none)
        for attribute in attributes {
            switch attribute.type {
            case NFTA_SET_NAME.rawValue: name = attribute.payload.text
            case NFTA_SET_FLAGS.rawValue: flags = attribute.payload.bigEndian(UInt32.self) ?? 0
            case UInt32(CNF_SET_COUNT): count = attribute.payload.bigEndian(UInt32.self)
            default: break
            }
        }
        // Anonymous ones go with their rules.
        guard flags & NFT_SET_ANONYMOUS.rawValue == 0 else { return }
        sets.append(name)
        if let set = TableSet(rawValue: name), TableSet.granted.contains(set) { grants[set] = count.map(Int.init) }
    }

    /// Whether it has these grants, and no others.
    func holds(just granted: [GrantElement]) -> Bool {
        let ofIPv4 = granted.count { $0.key.client.isIPv4 }
        return grants == [.granted4: ofIPv4, .granted6: granted.count - ofIPv4]
    }
}

extension Batch {
    mutating func takeTable(_ shape: TableShape, _ orphan: NetfilterTable.Orphan) {
        let table = Self.name(shape.name)
        // flush table inet rpcwarden
        message(NFT_MSG_DELRULE, flags: 0, table: table)
        // delete chain inet rpcwarden …
        for chain in orphan.chains {
            message(NFT_MSG_DELCHAIN, flags: 0, table: table) { $0.put(NFTA_CHAIN_NAME.rawValue, chain) }
        }
        let staying = TableSet.granted.map(\.rawValue)
        for set in orphan.sets where !staying.contains(set) { deleteSet(named: set, table: shape.name) }
        fillTable(shape, leaving: TableSet.granted)
    }
}
