import Addresses
import CNetfilter

/// The addresses of this host's interfaces.
///
/// Works in the network namespace of the thread that called `init`.
final class LocalAddresses {
    private let socket: NetlinkSocket

    init() throws(NetfilterError) {
        socket = try NetlinkSocket(bus: NETLINK_ROUTE)
    }

    func all() throws(NetfilterError) -> Set<IPAddress> {
        var found: Set<IPAddress> = []
        var request = MessageBuffer()
        let sequence = socket.nextSequence()
        request.begin(type: UInt16(CNF_RTM_GETADDR), flags: NetlinkSocket.dump, sequence: sequence)
        request.append(ifaddrmsg())
        request.end()
        // An address added or removed during the dump may be missed, as by a dump a moment earlier or later.
        _ = try socket.ask("reading this host's addresses", request, sequence: sequence) { message in
            guard message.type == CNF_RTM_NEWADDR, let address = Self.address(message.payload) else { return }
            found.insert(address)
        }
        return found
    }

    private static func address(_ payload: UnsafeRawBufferPointer) -> IPAddress? {
        var (local, any): (IPAddress?, IPAddress?)
        for attribute in Attributes(payload.dropping(MemoryLayout<ifaddrmsg>.size)) {
            switch attribute.type {
            case UInt32(IFA_LOCAL): local = IPAddress(networkBytes: Array(attribute.payload))
            // On a point-to-point link this is the address of the other end.
            case UInt32(IFA_ADDRESS): any = IPAddress(networkBytes: Array(attribute.payload))
            default: break
            }
        }
        return local ?? any
    }
}
