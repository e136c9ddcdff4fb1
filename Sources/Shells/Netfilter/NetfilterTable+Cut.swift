import Addresses
import CNetfilter
import Firewall
import Glibc

/// Ends flows for good: nothing that the server still sends brings them back.
///
/// Of TCP the missing bit in `ct mark` is enough. Of UDP a server's late answer looks like a question of its own, so who
/// loses a flow is kept in `revoked4` or `revoked6` for a while, and first of all.
extension NetfilterTable {
    public func cut(
        _ flows: Flows, of clients: Set<AddressRange>, to service: ServicePort, in table: String
    ) throws(NetfilterError) -> Int {
        let single = Set(clients.filter { $0.first == $0.last }.map(\.first))
        return try flows.cut(clients: clients, service: service) { found throws(NetfilterError) in
            let gone = found.union(single).map { GrantKey(client: $0, service: service) }
            try noteRevoked(gone, in: table)
        }
    }

    /// Ends the flows to newly guarded ports that nothing admits. They began when nobody asked for a grant, and a bit that
    /// others set in their mark would go on admitting them.
    ///
    /// - Parameter transaction: was committed just now.
    public func cutFlows(_ flows: Flows, to services: Set<ServicePort>, unless transaction: Transaction)
        throws(NetfilterError)
    {
        guard !services.isEmpty else { return }
        let ours = try localAddresses.all()
        var strangers = try flows.clients(of: services, isOurs: ours)
        strangers.subtract(transaction.issued)
        let standing = transaction.standing
        strangers = strangers.filter { standing[$0.service]?.range(holding: $0.client) == nil }
        guard !strangers.isEmpty else { return }
        // Of grants that stayed, or were issued before.
        strangers.subtract(try lifetimes(of: Array(strangers), in: transaction.table).keys)
        guard !strangers.isEmpty else { return }
        try noteRevoked(Array(strangers), in: transaction.table)
        _ = try flows.cut(strangers, isOurs: ours)
    }

    /// If there are too many, nobody's first datagram counts as a question for as long.
    private func noteRevoked(_ keys: [GrantKey], in table: String) throws(NetfilterError) {
        let keys = keys.filter { $0.service.transport == .udp }
        guard !keys.isEmpty, try hasRules(table) else { return }
        let failures = Self.repeatingWhileBusy {
            send(of: table) { for key in keys { $0.noteRevoked(key, for: Batch.revokedTime) } }
        }
        guard !failures.isEmpty else { return }
        if let failure = send(of: table, { $0.settle(.udp, for: Batch.revokedTime) }).first {
            throw .failed(
                doing: "noting whose flows are cut in table inet \(table)", errno: failure.errno,
                detail: failure.message)
        }
    }

    /// The clients in `revoked4` and `revoked6`, with the time that each has left. A table that is made anew takes them over.
    func revoked(in table: String) throws(NetfilterError) -> [GrantKey: Duration] {
        var found: [GrantKey: Duration] = [:]
        for set in TableSet.revoked {
            do throws(NetfilterError) {
                // The set may change meanwhile; then a client is missed, one of thousands, and only for a while.
                _ = try ask(
                    "reading set \(set.rawValue) of table inet \(table)", NFT_MSG_GETSETELEM, NetlinkSocket.dump
                ) {
                    $0.put(NFTA_SET_ELEM_LIST_TABLE.rawValue, table)
                    $0.put(NFTA_SET_ELEM_LIST_SET.rawValue, set.rawValue)
                } each: { message in
                    for list in message.netfilterAttributes where list.type == NFTA_SET_ELEM_LIST_ELEMENTS.rawValue {
                        for attribute in list.nested {
                            let element = ElementAttributes(attribute.nested)
                            guard let key = element.client(in: set), let left = element.expiresIn, left > .zero else {
                                continue
                            }
                            found[key] = min(left, Batch.revokedTime)
                        }
                    }
                }
            } catch {
                // There is no table, or one of an earlier version.
                guard case .failed(_, ENOENT, _) = error else { throw error }
            }
        }
        return found
    }
}

extension Transaction {
    fileprivate var issued: Set<GrantKey> { Set(operations.compactMap(\.issued)) }

    /// In ascending order.
    fileprivate var standing: [ServicePort: [AddressRange]] {
        var ranges: [ServicePort: [AddressRange]] = [:]
        for operation in operations {
            if case .addStanding(let key) = operation { ranges[key.service, default: []].append(key.clients) }
        }
        return ranges.mapValues { $0.sorted() }
    }
}
