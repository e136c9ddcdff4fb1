import Addresses
import CNetfilter
import Firewall

extension Batch {
    mutating func write(_ operation: Operation) {
        switch operation {
        // Making and adopting a table need more than the operation holds: NetfilterTable.attempt writes them.
        case .makeTable, .adoptTable: break
        case .deleteTable(let name): deleteTable(name)
        case .guardPort(let service): add(ElementKey(guarded: service, gateway))
        case .unguardPort(let service): remove(ElementKey(guarded: service, gateway))
        case .issue(let key, let timeout, let expiresIn, let comment):
            replace(ElementKey(key, gateway), timeout: timeout, expiresIn: expiresIn, comment: comment)
        case .issueNew(let key, let timeout, let comment):
            _ = isNew(ElementKey(key, gateway))
            addTimed(ElementKey(key, gateway), flags: NLM_F_CREATE | NLM_F_EXCL, timeout: timeout, comment: comment)
        case .revoke(let key): remove(ElementKey(key, gateway))
        case .remember(let key, let timeout, let comment):
            replace(ElementKey(remembered: key, gateway), timeout: timeout, comment: comment)
        case .forget(let key): remove(ElementKey(remembered: key, gateway))
        case .addStanding(let key): add(ElementKey(key, gateway))
        case .removeStanding(let key): remove(ElementKey(key, gateway))
        case .replaceStanding: for set in TableSet.standing(gateway) { flush(set) }
        case .addCallers(let key): add(ElementKey(key, gateway))
        case .removeCallers(let key): remove(ElementKey(key, gateway))
        case .quarantine(let client, let timeout): replace(ElementKey(quarantined: client), timeout: timeout)
        case .release(let client): remove(ElementKey(quarantined: client))
        case .shield(let transport, let timeout):
            replace(ElementKey(shielded: transport), timeout: timeout)
            addShieldChain()
        case .unshield: deleteShieldChain()
        }
    }

    /// For `time`, packets that this host sends to the client from the service's port don't mark their flow as its own.
    mutating func noteRevoked(_ key: GrantKey, for time: Duration) {
        replace(ElementKey(revoked: key), timeout: time)
    }

    mutating func noteRevoked(_ keys: [GrantKey: Duration]) {
        for (key, left) in keys { noteRevoked(key, for: left) }
    }

    /// For `time`, no packet that this host sends over the transport marks its flow as its own, except by TCP's flags.
    mutating func settle(_ transport: Transport, for time: Duration) {
        replace(ElementKey(settling: transport), timeout: time)
    }

    /// - Parameter name: name of the set, if it isn't the default name of the set's kind.
    mutating func add(_ element: ElementKey, toSet name: String? = nil) {
        message(NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE) { $0.put(element, inSet: name) }
    }

    private mutating func delete(_ element: ElementKey) {
        message(NFT_MSG_DELSETELEM, flags: 0) { $0.put(element) }
    }

    /// Adds the element before deleting it: deleting an element that doesn't exist would fail the batch.
    private mutating func remove(_ element: ElementKey) {
        add(element)
        delete(element)
    }

    /// Adds, deletes and adds the element: kernels before 6.12 ignore the new timeout of an existing element. In a
    /// table made by the same batch, the first addition of an element is enough.
    private mutating func replace(
        _ element: ElementKey, timeout: Duration, expiresIn: Duration? = nil, comment: String = ""
    ) {
        if !isNew(element) {
            add(element)
            delete(element)
        }
        addTimed(element, flags: NLM_F_CREATE, timeout: timeout, expiresIn: expiresIn, comment: comment)
    }

    private mutating func addTimed(
        _ element: ElementKey, flags: Int32, timeout: Duration, expiresIn: Duration? = nil, comment: String
    ) {
        let note = comment.isEmpty ? [] : Userdata.comment(0, comment)
        let timeout = timeout.kernelMilliseconds
        message(NFT_MSG_NEWSETELEM, flags: flags) { message in
            message.put(element) { attributes in
                attributes.put(NFTA_SET_ELEM_TIMEOUT.rawValue, bigEndian: timeout)
                if let expiresIn {
                    // The kernel refuses an expiration beyond the timeout (ERANGE).
                    let expiration = min(expiresIn.kernelMilliseconds, timeout)
                    attributes.put(NFTA_SET_ELEM_EXPIRATION.rawValue, bigEndian: expiration)
                }
                if !note.isEmpty { note.withUnsafeBytes { attributes.put(NFTA_SET_ELEM_USERDATA.rawValue, $0) } }
            }
        }
    }
}

extension MessageBuffer {
    /// Writes the set and the element; the caller has written the table.
    mutating func put(
        _ element: ElementKey, inSet name: String? = nil, _ more: (inout MessageBuffer) -> Void = { _ in }
    ) {
        put(NFTA_SET_ELEM_LIST_SET.rawValue, name ?? element.set.rawValue)
        nest(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue) { list in
            list.nest(UInt32(NFTA_LIST_ELEM.rawValue)) { attributes in
                attributes.putKey(
                    NFTA_SET_ELEM_KEY.rawValue, element.addresses?.first, element.destinations?.first, element.service,
                    element.transport)
                switch element.set {
                case .standing4, .standing6, .callers4, .callers6, .closedAt4, .closedAt6, .standingAt4, .standingAt6:
                    var last = element.service
                    if let port = element.lastPort { last?.port = port }
                    attributes.putKey(
                        NFTA_SET_ELEM_KEY_END.rawValue, element.addresses?.last, element.destinations?.last, last)
                case .guarded, .granted4, .granted6, .remembered4, .remembered6, .recent4, .recent6, .quarantined4,
                    .quarantined6, .shielded, .revoked4, .revoked6, .settling, .servers4, .servers6, .guardedAt4,
                    .guardedAt6, .grantedAt4, .grantedAt6, .rememberedAt4, .rememberedAt6, .recentAt4, .recentAt6:
                    break
                }
                more(&attributes)
            }
        }
    }

    /// Writes each field in network byte order, padded to whole registers of 4 bytes.
    private mutating func putKey(
        _ attribute: UInt32, _ source: IPAddress?, _ destination: IPAddress?, _ service: ServicePort?,
        _ transport: Transport? = nil
    ) {
        nest(attribute) { key in
            // A key that is only a transport is a single byte.
            if let transport { return key.put(NFTA_DATA_VALUE.rawValue, bigEndian: transport.rawValue) }
            key.put(NFTA_DATA_VALUE.rawValue) { value in
                for address in [source, destination] {
                    switch address {
                    case .v4(let bits): value.append(bits.bigEndian)
                    case .v6(let bits): value.append(bits.value.bigEndian)
                    case nil: break
                    }
                }
                if let service {
                    value.append(UInt32(service.transport.rawValue).littleEndian)
                    value.append(UInt32(service.port.bigEndian).littleEndian)
                }
            }
        }
    }
}
