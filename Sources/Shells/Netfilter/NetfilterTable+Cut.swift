import Addresses
import CNetfilter
import Firewall
import Glibc

/// Ends flows for good: later packets of the server don't bring them back.
///
/// For TCP the missing bit in `ct mark` is enough. For UDP a server's late reply looks like a request of its own,
/// so the client of a flow is added to `revoked4` or `revoked6` for a while, before its flow is cut.
extension NetfilterTable {
    public func cut(
        _ flows: Flows, _ cuts: [ServicePort: Set<AddressRange>], in table: String
    ) throws(NetfilterError) -> Int {
        let single = cuts.flatMap { service, clients in
            clients.filter { $0.first == $0.last }.map { GrantKey(client: $0.first, service: service) }
        }
        return try flows.cut(cuts, gateway) { found throws(NetfilterError) in
            try noteRevoked(Array(found.union(single)), in: table)
        }
    }

    /// Ends flows to newly guarded ports that neither a grant nor a standing element admits. They began before the
    /// ports were guarded, and a bit that other software set in their mark would keep admitting them.
    ///
    /// - Parameter transaction: the transaction committed just before.
    public func cutFlows(_ flows: Flows, to services: Set<ServicePort>, unless transaction: Transaction)
        throws(NetfilterError)
    {
        guard !services.isEmpty else { return }
        let ours = try localAddresses.all()
        var strangers = try flows.clients(of: services, isOurs: ours, gateway)
        strangers.subtract(transaction.issued)
        let standing = transaction.standing
        strangers = strangers.filter { standing[$0.service]?.range(holding: $0.client) == nil }
        guard !strangers.isEmpty else { return }
        // Clients with grants that stayed, or were issued before.
        strangers.subtract(try lifetimes(of: Array(strangers), in: transaction.table).keys)
        guard !strangers.isEmpty else { return }
        try noteRevoked(Array(strangers), in: transaction.table)
        _ = try flows.cut(strangers, isOurs: ours, gateway)
    }

    /// If there are too many clients for the set, no first UDP datagram marks a flow as this host's own for the
    /// same time.
    private func noteRevoked(_ keys: [GrantKey], in table: String) throws(NetfilterError) {
        // A server's packets from a guarded port never mark their flow: see Batch.addFromServerRules.
        let keys = keys.filter { $0.service.transport == .udp && $0.service.server == .thisHost }
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

    /// The clients in `revoked4` and `revoked6`, with the time left for each. A table that is made anew takes them
    /// over.
    func revoked(in table: String) throws(NetfilterError) -> [GrantKey: Duration] {
        var found: [GrantKey: Duration] = [:]
        for set in TableSet.revoked {
            do throws(NetfilterError) {
                // The set may change during the dump; then a few clients of thousands are missed, and only for a while.
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
                // There is no table, or it is one of an earlier version.
                guard case .failed(_, ENOENT, _) = error else { throw error }
            }
        }
        return found
    }
}

extension Transaction {
    fileprivate var issued: Set<GrantKey> { Set(operations.compactMap(\.issued)) }

    /// The standing ranges of each service, in ascending order.
    fileprivate var standing: [ServicePort: [AddressRange]] {
        var ranges: [ServicePort: [AddressRange]] = [:]
        for operation in operations {
            if case .addStanding(let key) = operation { ranges[key.service, default: []].append(key.clients) }
        }
        return ranges.mapValues { $0.sorted() }
    }
}
