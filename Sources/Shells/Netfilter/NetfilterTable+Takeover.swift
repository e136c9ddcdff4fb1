import CNetfilter
import Firewall
import Glibc

/// Takes over the table of an earlier run, and leaves its grants in place.
///
/// ```
/// orphan ──claim──▶ ours, as it was ──contents──▶ may its grants stay? ──adoptTable──▶ all but them made anew
///                                                                     └──makeTable──▶ all made anew
/// ```
/// Making 65,536 elements anew takes the kernel 0.4 s. The sets of grants can stay if they are of the right kind,
/// which the kernel checks when they are declared again, and if they hold no elements other than those read. The
/// kernel skips elements while a hash table grows, or while expired ones are swept; so its element count must
/// equal the number read, before and after. Kernels report the count since 6.16 or so (seen with 6.18); with
/// others, everything is made anew.
extension NetfilterTable {
    /// The parts of one of rpcwarden's tables, without the elements.
    struct Parts: Equatable {
        var table: String
        /// The servers by which the keys of grants were read.
        var gateway: GatewayShape?
        var chains: [String]
        fileprivate var sets: [String] = []
        /// The element count of each set of grants, expired elements included.
        fileprivate var grants: [TableSet: Int] = [:]
    }

    /// Makes this process the owner of the table if it has none: from then on no other process can change it.
    /// Nothing else about the table changes.
    ///
    /// This is a separate transaction, since the kernel refuses to add a chain in one that changes a table's flags.
    /// - Returns: whether this process owns the table now; `false` if the table never had an owner, or doesn't exist.
    public func claim(_ table: String) throws(NetfilterError) -> Bool {
        // Checked first: the kernel takes 8–24 ms for a batch that it refuses.
        guard try number(NFTA_TABLE_FLAGS, of: table) == UInt32(CNF_TABLE_F_PERSIST) else { return false }
        return send(of: table) { $0.claimTable() }.isEmpty
    }

    /// `nil` if this process doesn't own the table, it has more than chains and sets, or its elements aren't counted.
    func parts(of table: String) throws(NetfilterError) -> Parts? {
        guard try owner(of: table) == portID else { return nil }
        var parts = Parts(table: table, gateway: gateway, chains: try chains(of: table))
        _ = try ask("reading the sets of table inet \(table)", NFT_MSG_GETSET, NetlinkSocket.dump) {
            $0.put(NFTA_SET_TABLE.rawValue, table)
        } each: { message in
            parts.add(set: message.netfilterAttributes)
        }
        // The use count also includes objects and flow tables.
        let count = UInt32(parts.chains.count + parts.sets.count)
        return try number(NFTA_TABLE_USE, of: table) == count ? parts : nil
    }

    /// The parts of the table to take over, as they were when it was read.
    func partsToTake(of shape: TableShape) throws(NetfilterError) -> Parts {
        guard let found, found.table == shape.name, found.gateway?.addresses == shape.gateway?.addresses else {
            throw .failed(
                doing: "taking over table inet \(shape.name)", errno: ESTALE, detail: "it was not read just before")
        }
        return found
    }

    /// A numeric attribute of the table; `nil` if the table doesn't exist.
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
        // The kernel deletes anonymous sets with their rules.
        guard flags & NFT_SET_ANONYMOUS.rawValue == 0 else { return }
        sets.append(name)
        if let set = TableSet(rawValue: name), TableSet.granted(gateway).contains(set) {
            grants[set] = count.map(Int.init)
        }
    }

    var grantCount: Int { grants.values.reduce(0, +) }

    /// Whether the kernel holds exactly as many grants as these.
    func hold(just granted: [GrantElement]) -> Bool {
        var counts = grants.mapValues { _ in 0 }
        for grant in granted { counts[ElementKey(grant.key, gateway).set, default: 0] += 1 }
        return grants == counts
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
        let staying = TableSet.granted(shape.gateway)
        for set in parts.sets where !staying.map(\.rawValue).contains(set) { deleteSet(named: set, table: shape.name) }
        fillTable(shape, leaving: staying)
    }
}
