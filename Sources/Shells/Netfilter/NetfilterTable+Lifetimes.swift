import CNetfilter
import Firewall
import Glibc

extension NetfilterTable {
    /// Requests that are sent at once; their replies must fit the receive buffer.
    private static let questionsMax = 128

    /// The time left for each grant; a grant that the kernel doesn't hold is absent.
    ///
    /// Requests only these elements, so the time doesn't depend on the size of the table.
    /// - Throws: ``NetfilterError/failed(doing:errno:detail:)``, with ENOENT if the table is gone, or its set.
    public func lifetimes(
        of keys: [GrantKey], in table: String
    ) throws(NetfilterError) -> [GrantKey: Duration] {
        try elements(of: keys, in: table) { $0.lifetime }
    }

    /// The time left for each grant, and the count of packets that it admitted.
    public func uses(of keys: [GrantKey], in table: String) throws(NetfilterError) -> [GrantKey: GrantUse] {
        let countings: UInt64 = try hasRules(table) ? 2 : 1
        return try elements(of: keys, in: table, countingsPerPacket: countings) { $0.use }
    }

    private func elements<Value>(
        of keys: [GrantKey], in table: String, countingsPerPacket: UInt64 = 1, _ read: (ElementAttributes) -> Value
    ) throws(NetfilterError) -> [GrantKey: Value] {
        var found: [GrantKey: Value] = [:]
        // A server that this gateway doesn't have holds no grant.
        var rest = keys.filter { reaches($0.service.server, from: $0.client) }[...]
        while !rest.isEmpty {
            try ask(for: rest.prefix(Self.questionsMax), in: table) { key, attributes in
                found[key] = read(ElementAttributes(attributes, countingsPerPacket: countingsPerPacket))
            }
            rest = rest.dropFirst(Self.questionsMax)
        }
        return found
    }

    /// Sends one message for each key: the kernel stops reading a message at the first missing element.
    private func ask(
        for keys: ArraySlice<GrantKey>, in table: String, each: (GrantKey, Attributes) -> Void
    ) throws(NetfilterError) {
        let doing = "reading grants of table inet \(table)"
        var questions = MessageBuffer()
        var asked: [UInt32: GrantKey] = [:]
        var setOffset = 0
        for key in keys {
            let sequence = socket.nextSequence()
            let start = questions.count
            questions.beginNetfilter(
                subsystem: NFNL_SUBSYS_NFTABLES, message: NFT_MSG_GETSETELEM.rawValue, flags: 0,
                family: UInt8(NFPROTO_INET), sequence: sequence)
            questions.put(NFTA_SET_ELEM_LIST_TABLE.rawValue, table)
            setOffset = questions.count - start
            questions.put(ElementKey(key, gateway))
            questions.end()
            asked[sequence] = key
        }
        let sent = socket.send(questions.bytes)
        guard sent == 0 else { throw .failed(doing: doing, errno: sent, detail: errorText(sent)) }
        // Each request has one reply: the element, or an error.
        while !asked.isEmpty {
            switch socket.receive(waits: true) {
            case .failed(let number): throw .failed(doing: doing, errno: number, detail: errorText(number))
            case .nothing: throw .failed(doing: doing, errno: EAGAIN, detail: errorText(EAGAIN))
            case .bytes(let bytes):
                for message in NetlinkMessages(bytes) where message.portID == portID {
                    guard let key = asked.removeValue(forKey: message.sequence) else { continue }
                    if let element = try Self.element(message, doing, setOffset) { each(key, element) }
                }
            }
        }
    }

    private static func element(
        _ message: NetlinkMessage, _ doing: String, _ setOffset: Int
    ) throws(NetfilterError) -> Attributes? {
        guard message.type == NLMSG_ERROR else {
            let list = message.netfilterAttributes.first { $0.type == NFTA_SET_ELEM_LIST_ELEMENTS.rawValue }
            return list?.nested.first { _ in true }?.nested
        }
        let answer = Acknowledgement(error: message)
        // The error's offset shows the missing object: the element, or the table or set, which come
        // before it.
        let isElement = answer.attributeOffset.map { $0 > setOffset } ?? true
        guard answer.errno == ENOENT, isElement else {
            throw .failed(doing: doing, errno: answer.errno, detail: answer.text)
        }
        return nil
    }
}
