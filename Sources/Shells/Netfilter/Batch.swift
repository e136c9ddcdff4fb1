import CNetfilter
import Firewall

/// One netlink batch under construction: the kernel applies all of its messages, or none.
///
/// start ─▶ message… (of operation 0, 1, …) ─▶ finish
struct Batch: ~Copyable {
    /// No message that libnftnl writes for this batch is longer, not counting the table's name; the longest is a
    /// rule of some 700 bytes.
    private static let libraryMessageBytesMax = 1 << 13

    /// The operation that the following messages belong to.
    var operation = 0
    private(set) var messages = MessageBuffer()
    private var firstSequence: UInt32 = 0
    private var operations: [Int32] = []
    private var lastMessageStart = 0
    private var table: [UInt8] = []
    private(set) var tableName = ""
    /// The servers that the operations may name.
    var gateway: GatewayShape?
    /// The elements added to a table that this batch makes; `nil` if it makes no table.
    private var elements: Set<ElementKey>?
    /// The sets that the table had before.
    private var oldSets: [TableSet] = []

    var bytes: UnsafeRawBufferPointer { messages.bytes }
    /// The sequence number of the only message that requests an acknowledgement.
    var lastSequence: UInt32 { firstSequence &+ UInt32(operations.count) }

    /// - Parameter sequence: sequence number of the batch's begin; the messages count on from it.
    mutating func start(table: String, sequence: UInt32) {
        clear()
        self.table = Self.name(table)
        tableName = table
        firstSequence = sequence
        messages.beginNetfilter(
            subsystem: 0, message: UInt32(NFNL_MSG_BATCH_BEGIN), flags: 0, family: UInt8(AF_UNSPEC),
            resource: UInt16(NFNL_SUBSYS_NFTABLES), sequence: sequence)
        messages.end()
    }

    /// Releases the memory of a large batch.
    mutating func clear() {
        messages.clear()
        operations.removeAll(keepingCapacity: operations.capacity < 1 << 16)
        elements = nil
    }

    /// Closes the batch. The kernel acknowledges its last message, and reports every failed message unasked.
    ///
    /// - Parameter commits: `false`: the batch gets no end. The kernel checks and answers it all the same, then undoes
    ///   it and announces nothing (`nft --check`).
    mutating func finish(commits: Bool = true) {
        guard !operations.isEmpty else { return }
        messages.addFlags(NLM_F_ACK, toMessageAt: lastMessageStart)
        guard commits else { return }
        messages.beginNetfilter(
            subsystem: 0, message: UInt32(NFNL_MSG_BATCH_END), flags: 0, family: UInt8(AF_UNSPEC),
            resource: UInt16(NFNL_SUBSYS_NFTABLES), sequence: lastSequence &+ 1)
        messages.end()
    }

    /// The operation that the message with this sequence number belongs to; `nil` for the batch's own begin and end.
    func operation(ofSequence sequence: UInt32) -> Int? {
        let index = Int(sequence &- firstSequence) - 1
        return operations.indices.contains(index) ? Int(operations[index]) : nil
    }

    var isEmpty: Bool { operations.isEmpty }

    /// Whether the sequence number belongs to the batch, its begin and end included.
    func contains(sequence: UInt32) -> Bool { sequence &- firstSequence < sequencesUsed }

    /// The count of sequence numbers that the batch used.
    var sequencesUsed: UInt32 { UInt32(operations.count) + 2 }

    /// A message about an element of the transaction's table.
    mutating func message(_ type: nf_tables_msg_types, flags: Int32, _ body: (inout MessageBuffer) -> Void) {
        message(type, flags: flags, table: table, body)
    }

    /// A message about a table; its first attribute is the table's name. Every NFTA_*_TABLE, and NFTA_TABLE_NAME, is 1.
    mutating func message(
        _ type: nf_tables_msg_types, flags: Int32, table: [UInt8], _ body: (inout MessageBuffer) -> Void = { _ in }
    ) {
        begin()
        messages.beginNetfilter(
            subsystem: NFNL_SUBSYS_NFTABLES, message: type.rawValue, flags: flags,
            family: UInt8(NFPROTO_INET), sequence: lastSequence)
        table.withUnsafeBytes { messages.put(NFTA_TABLE_NAME.rawValue, $0) }
        body(&messages)
        messages.end()
    }

    /// A message with a payload written by libnftnl.
    mutating func message(
        _ type: nf_tables_msg_types, flags: Int32, table: String, payload: (UnsafeMutablePointer<nlmsghdr>) -> Void
    ) {
        begin()
        let sequence = lastSequence
        messages.write(bytesMax: Self.libraryMessageBytesMax + table.utf8.count) { start in
            guard
                let header = nftnl_nlmsg_build_hdr(
                    start, UInt16(type.rawValue), UInt16(NFPROTO_INET), UInt16(flags), sequence)
            else { return 0 }
            payload(header)
            return Int(header.pointee.nlmsg_len)
        }
    }

    static func name(_ table: String) -> [UInt8] { Array(table.utf8) + [0] }

    /// - Parameter sets: the sets that the table has already.
    mutating func tableIsNew(_ name: [UInt8], but sets: [TableSet]) {
        guard name == table else { return }
        elements = []
        oldSets = sets
    }

    /// Whether an element with this key can't exist yet, because the batch makes the table; true only once for
    /// each key.
    mutating func isNew(_ element: ElementKey) -> Bool {
        guard elements != nil, !oldSets.contains(element.set) else { return false }
        return elements?.insert(element).inserted ?? false
    }

    private mutating func begin() {
        lastMessageStart = messages.count
        operations.append(Int32(operation))
    }
}
