import CNetfilter
import Firewall
import Glibc

/// Reads the kernel's announcements of changes to one nftables table; never blocks.
///
/// The kernel doesn't announce expiry, nor renewal by packets.
public final class TableMonitor {
    /// Changes held until the end of their transaction; a transaction with more is reported as `overrun`.
    private static let pendingMax = 16_384
    /// Upper bound of receives per call of ``readEvents()``; after that the descriptor stays readable.
    private static let receivesMax = 65_536

    let socket: NetlinkSocket
    private let ownPortID: UInt32
    private let table: String
    /// The servers that elements name, as in ``NetfilterTable/gateway``. Without them the gateway's sets are taken for
    /// the administrator's.
    public var gateway: GatewayShape?
    /// Changes of a transaction before its NEWGEN, which identifies the writer, has arrived.
    private var pending: [TableChange.Change] = []
    /// Whether messages were lost and the rest has not been read yet.
    private var isOverrun = false
    private var isFollowing = true

    /// - Parameter table: a table of family inet; changes of other tables are ignored, however large their sets.
    /// - Parameter ownPortID: ``NetfilterTable/portID`` of the ``NetfilterTable`` whose changes count as own ones.
    public convenience init(table: String, ownPortID: UInt32) throws(NetfilterError) {
        try self.init(table: table, ownPortID: ownPortID, receiveBufferBytes: 4 << 20)
    }

    init(table: String, ownPortID: UInt32, receiveBufferBytes: Int32) throws(NetfilterError) {
        self.table = table
        self.ownPortID = ownPortID
        socket = try NetlinkSocket(bus: NETLINK_NETFILTER, isBlocking: false)
        // Without the larger buffer an overrun comes sooner; nothing else depends on it.
        socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, receiveBufferBytes)
        try subscribe(NETLINK_ADD_MEMBERSHIP)
    }

    /// Turns announcements on or off. A table that no other process can change needs none, and announcing costs
    /// the kernel as much as the changes themselves.
    public func follow(_ isNeeded: Bool) throws(NetfilterError) {
        guard isNeeded != isFollowing else { return }
        try subscribe(isNeeded ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP)
        isFollowing = isNeeded
    }

    private func subscribe(_ option: Int32) throws(NetfilterError) {
        let number = socket.setOption(SOL_NETLINK, option, Int32(NFNLGRP_NFTABLES.rawValue))
        guard number != 0 else { return }
        let reason = number == EPERM ? "CAP_NET_ADMIN is missing" : nil
        throw .failed(doing: "subscribing to changes of nftables", errno: number, detail: errorText(number, reason))
    }

    /// The changes announced since the last call, by transaction.
    ///
    /// Elements changed by this process aren't listed.
    public func readEvents() -> [TableChange] {
        var changes: [TableChange] = []
        for _ in 0..<Self.receivesMax {
            switch socket.receive(waits: false) {
            case .bytes(let bytes):
                for message in NetlinkMessages(bytes) { read(message, into: &changes) }
            // Until everything is read the kernel drops further messages, and doesn't report it again.
            case .failed(ENOBUFS): isOverrun = true
            case .failed: return changes + [.overrun]
            case .nothing: return changes + overrun()
            }
        }
        return changes
    }

    /// Reports the overrun, once, after everything was read.
    private func overrun() -> [TableChange] {
        guard isOverrun else { return [] }
        pending = []
        isOverrun = false
        return [.overrun]
    }

    private func read(_ message: NetlinkMessage, into changes: inout [TableChange]) {
        guard message.type >> 8 == NFNL_SUBSYS_NFTABLES else { return }
        let type = UInt32(message.type & 0xff)
        if type == NFT_MSG_NEWGEN.rawValue { return endTransaction(message, into: &changes) }
        guard message.payload.first == UInt8(NFPROTO_INET), Self.table(message.netfilterAttributes) == table,
            let change = change(type, message)
        else { return }
        isOverrun = isOverrun || pending.count >= Self.pendingMax
        if !isOverrun { pending.append(change) }
    }

    private func endTransaction(_ message: NetlinkMessage, into changes: inout [TableChange]) {
        let writer = Self.writer(message.netfilterAttributes)
        for var change in pending {
            change.writer = writer
            changes.append(.changed(change))
        }
        pending.removeAll(keepingCapacity: pending.count < 64)
    }

    private func change(_ type: UInt32, _ message: NetlinkMessage) -> TableChange.Change? {
        let isOwn = message.portID == ownPortID
        let what: TableChange.What
        switch nf_tables_msg_types(type) {
        case NFT_MSG_NEWTABLE: what = .tableMade
        case NFT_MSG_DELTABLE: what = .tableDeleted
        case NFT_MSG_NEWCHAIN, NFT_MSG_DELCHAIN, NFT_MSG_NEWRULE, NFT_MSG_DELRULE, NFT_MSG_NEWSET, NFT_MSG_DELSET:
            what = .definition
        case NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM:
            if isOwn { return nil }
            what = Self.elementChange(
                message.netfilterAttributes, isAdded: type == NFT_MSG_NEWSETELEM.rawValue, gateway)
        default: return nil  // objects and flowtables: the table has none
        }
        return TableChange.Change(table: table, what: what, isOwn: isOwn)
    }

    /// NFTA_TABLE_NAME, and every NFTA_*_TABLE, is 1.
    static func table(_ attributes: Attributes) -> String? {
        attributes.first { $0.type == NFTA_TABLE_NAME.rawValue }?.payload.text
    }

    /// The kernel announces each element in a message of its own.
    static func elementChange(
        _ attributes: Attributes, isAdded: Bool, _ gateway: GatewayShape? = nil
    ) -> TableChange.What {
        var set: TableSet?
        var list: Attributes?
        for attribute in attributes {
            switch attribute.type {
            case NFTA_SET_ELEM_LIST_SET.rawValue: set = TableSet(rawValue: attribute.payload.text)
            case NFTA_SET_ELEM_LIST_ELEMENTS.rawValue: list = attribute.nested
            default: break
            }
        }
        // The administrator's own set, or `{ tcp, udp }` in one of the administrator's rules.
        guard let set, gateway != nil || !set.isOfServers else { return .definition }
        let element = list?.next().flatMap { ElementAttributes($0.nested).key(in: set, gateway) }
        return isAdded ? .elementAdded(element) : .elementDeleted(element)
    }

    static func writer(_ attributes: Attributes) -> TableChange.Writer? {
        var processID: UInt32?
        var name = ""
        for attribute in attributes {
            switch attribute.type {
            case NFTA_GEN_PROC_PID.rawValue: processID = attribute.payload.bigEndian(UInt32.self)
            case NFTA_GEN_PROC_NAME.rawValue: name = attribute.payload.text
            default: break
            }
        }
        return processID.map { TableChange.Writer(processID: $0, name: name) }
    }
}
