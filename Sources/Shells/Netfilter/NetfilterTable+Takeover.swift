import CNetfilter
import Firewall
import Glibc

/// Taking over the table that an earlier run left, with its grants where they are.
///
/// ```
/// orphan ──claim──▶ ours, as it was ──contents──▶ may its grants stay? ──adoptTable──▶ all but them made anew
///                                                                     └──makeTable──▶ all made anew
/// ```
/// To make 65,536 elements anew takes the kernel 0.4 s. The sets of grants can stay if they are of our kind, which the
/// kernel looks at when they are declared once more, and if nothing is in them but what was read. The kernel passes over
/// elements while a hash table grows, or while expired ones are swept away; so it must count as many, before and after,
/// as it told. It says so since 6.16 or so (seen with 6.18); where it doesn't, everything is made anew.
extension NetfilterTable {
    /// What a table of ours consists of, its elements apart.
    struct Parts: Equatable {
        var table: String
        var chains: [String]
        fileprivate var sets: [String] = []
        /// How many elements each set of grants has, those included that have expired.
        fileprivate var grants: [TableSet: Int] = [:]
    }

    /// Makes the table ours if it has no owner: from then on nobody else changes it. Nothing else about it changes.
    ///
    /// A transaction of its own, for the kernel lets none that changes a table's flags add a chain.
    /// - Returns: whether it is ours now; not if it never had an owner, or there is no table.
    public func claim(_ table: String) throws(NetfilterError) -> Bool {
        // The kernel takes 8–24 ms for a batch that it refuses.
        guard try number(NFTA_TABLE_FLAGS, of: table) == UInt32(CNF_TABLE_F_PERSIST) else { return false }
        return send(of: table) { $0.claimTable() }.isEmpty
    }

    /// `nil` if the table isn't ours alone, has more to it than chains and sets, or its elements aren't counted.
    func parts(of table: String) throws(NetfilterError) -> Parts? {
        guard try owner(of: table) == portID else { return nil }
        var parts = Parts(table: table, chains: try chains(of: table))
        _ = try ask("reading the sets of table inet \(table)", NFT_MSG_GETSET, NetlinkSocket.dump) {
            $0.put(NFTA_SET_TABLE.rawValue, table)
        } each: { message in
            parts.add(set: message.netfilterAttributes)
        }
        // What else counts: objects and flow tables.
        let count = UInt32(parts.chains.count + parts.sets.count)
        return try number(NFTA_TABLE_USE, of: table) == count ? parts : nil
    }

    /// What the table to take over had when it was read.
    func partsToTake(of table: String) throws(NetfilterError) -> Parts {
        guard let found, found.table == table else {
            throw .failed(
                doing: "taking over table inet \(table)", errno: ESTALE, detail: "it was not read just before")
        }
        return found
    }

    /// What the kernel says of the table; `nil` if there is none.
    func number(_ attribute: nft_table_attributes, of table: String) throws(NetfilterError) -> UInt32? {
        var number: UInt32?
        _ = try exists("table inet \(table)", NFT_MSG_GETTABLE) {
            $0.put(NFTA_TABLE_NAME.rawValue, table)
        } each: { message in
            let found = message.netfilterAttributes.first { $0.type == attribute.rawValue }
            number = found?.payload.bigEndian(UInt32.self)
        }
        return number
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

extension NetfilterTable.Parts {
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

    var grantCount: Int { grants.values.reduce(0, +) }

    /// Whether the kernel holds as many grants as these.
    func hold(just granted: [GrantElement]) -> Bool {
        let ofIPv4 = granted.count { $0.key.client.isIPv4 }
        return grants == [.granted4: ofIPv4, .granted6: granted.count - ofIPv4]
    }
}

extension Batch {
    // add table inet rpcwarden { flags owner,persist; }
    fileprivate mutating func claimTable() {
        message(NFT_MSG_NEWTABLE, flags: 0) {
            $0.put(NFTA_TABLE_FLAGS.rawValue, bigEndian: UInt32(CNF_TABLE_F_OWNER | CNF_TABLE_F_PERSIST))
        }
    }

    mutating func adoptTable(_ shape: TableShape, _ parts: NetfilterTable.Parts) {
        let table = Self.name(shape.name)
        // flush table inet rpcwarden
        message(NFT_MSG_DELRULE, flags: 0, table: table)
        // delete chain inet rpcwarden …
        for chain in parts.chains {
            message(NFT_MSG_DELCHAIN, flags: 0, table: table) { $0.put(NFTA_CHAIN_NAME.rawValue, chain) }
        }
        let staying = TableSet.granted.map(\.rawValue)
        for set in parts.sets where !staying.contains(set) { deleteSet(named: set, table: shape.name) }
        fillTable(shape, leaving: TableSet.granted)
    }
}
