import Addresses
import Calls
import ONCRPC
import Portmapper

extension PortmapperCall {
    /// The answer to NULL, and to a look-up of the portmapper itself: the address and port that were asked. `nil`
    /// if rpcbind has to be asked.
    func ownAnswer(asked: UniversalAddress) -> PortmapperResult? {
        switch self {
        case .null: .void
        case .getPort(let mapping) where mapping.program == .portmapper:
            .port(mapping.transport == nil ? 0 : UInt32(asked.port))
        case .getAddress(_, let rpcb) where rpcb.program == .portmapper: .address(asked.description)
        case .getVersionAddress(let rpcb) where rpcb.program == .portmapper:
            .address(PortmapperVersion(rawValue: rpcb.version) == nil ? "" : asked.description)
        case .getAddressList(let rpcb) where rpcb.program == .portmapper:
            .addressList(
                PortmapperVersion(rawValue: rpcb.version) == nil
                    ? []
                    : Transport.allCases.map { AddressEntry(NetID($0, isIPv4: asked.host.isIPv4), asked) })
        case .getPort, .getAddress, .getVersionAddress, .set, .unset, .setMapping, .unsetMapping, .dump, .callIt,
            .broadcast, .indirect, .getAddressList, .getTime, .universalToTransportAddress,
            .transportToUniversalAddress, .getStatistics:
            nil
        }
    }

    /// rpcbind's answer about a program that isn't registered.
    var notRegistered: PortmapperResult {
        switch self {
        case .getPort: .port(0)
        case .getAddress, .getVersionAddress: .address("")
        case .dump(.v2): .mappings([])
        case .dump: .registrations([])
        case .getAddressList: .addressList([])
        case .set, .unset, .setMapping, .unsetMapping: .boolean(false)
        case .null, .callIt, .broadcast, .indirect, .getTime, .universalToTransportAddress,
            .transportToUniversalAddress, .getStatistics:
            .void
        }
    }

    /// The reply to a denied call as if nothing were registered.
    var notRegisteredReply: Reply.Body {
        switch kind {
        // RFC 1833, 2.2.10: an error tells the caller that the program isn't registered.
        case .remote: .programUnavailable
        case .null, .unserved: .procedureUnavailable
        case .lookup, .listing, .registration: .success(notRegistered.encoded)
        }
    }

    /// RFC 1833, 2.2.5 and 3.2: no reply over UDP if the call can't be made. Over a stream, each call gets a reply.
    func isSilentlyRefused(over transport: Transport) -> Bool {
        transport == .udp && (procedureName == .callIt || procedureName == .broadcast)
    }
}

extension PortmapperResult {
    /// False for the answers that rpcbind gives to the lookup of an unregistered program.
    var isRegistered: Bool {
        switch self {
        case .port(let port): port != 0
        case .address(let address): !address.isEmpty
        case .void, .boolean, .mappings, .registrations, .addressList: true
        }
    }
}

extension AddressEntry {
    init(_ netID: NetID, _ address: UniversalAddress) {
        self.init(
            address: address.description, netID: netID.rawValue, semantics: netID.semantics,
            protocolFamily: netID.protocolFamily, protocolName: netID.protocolName)
    }
}
