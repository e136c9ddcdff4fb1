import Addresses
import CPortmapServer
import Glibc

/// Recognizes calls from this host itself, which are always answered.
///
/// The kernel sends a host's packets to itself through the loopback interface, whichever of its addresses are
/// source and destination; packets from outside never arrive at that interface. But IP_PKTINFO and IPV6_PKTINFO
/// report the interface of the destination address instead. So a filter in the kernel drops datagrams that claim
/// one of this host's addresses as source and didn't arrive by loopback; the others with such a source come from
/// this host.
///
/// A TCP peer has completed a handshake: this host's packets to its address reached it. If the route to that
/// address is local, the peer is on this host, even with `accept_local`, which lets others send (but not receive)
/// with this host's addresses. The address asked proves nothing: connections to a server behind this gateway end here
/// too, with the server's address.
final class OwnAddresses {
    struct Address: Hashable {
        var host: IPAddress
        /// A link-local address may belong to another host behind another interface.
        var interface: UInt32

        /// All addresses of 127/8 count as one.
        static let loopback = Address(host: .v4(0x7f00_0001), interface: 0)
    }

    /// The addresses of one family; a failure for one family doesn't affect the other.
    private struct Family {
        let isIPv6: Bool
        let addressesMax: Int
        var addresses: [rpcw_own_address] = []
        /// Why the filters don't have the addresses; it is reported once.
        var failure: String?

        /// The addresses that the filters have.
        var filtered: [Address] {
            guard failure == nil else { return [] }
            return addresses.map(Address.init) + (isIPv6 ? [] : [.loopback])
        }
    }

    private static let loopbackInterface: UInt32 = 1

    private let routes = rpcw_routes_open()
    private let watch = rpcw_addresses_watch()
    /// The UDP sockets.
    private var sockets: [ListeningSocket] = []
    /// This host's addresses, of both families.
    private var all: Set<IPAddress> = []
    private var families = [
        Family(isIPv6: false, addressesMax: Int(RPCW_OWN_ADDRESSES_IPV4)),
        Family(isIPv6: true, addressesMax: Int(RPCW_OWN_ADDRESSES_IPV6)),
    ]
    /// One in 2 to the power of this of this host's datagrams is let through.
    private var thinning: UInt32 = 0
    /// Addresses for which all datagrams that may still wait in a socket have passed the filter.
    private(set) var proven: Set<Address> = []
    private var looksUntilProven = 0
    private var looksUntilRetry = 0

    /// After so many looks, datagrams that waited before a filter was installed have been read.
    private static let looksMax = 10
    /// After so many looks, what failed is tried again: memory for a filter may have been short for a moment.
    private static let looksBetweenRetries = 20

    deinit {
        for descriptor in [routes, watch] where descriptor >= 0 { close(descriptor) }
    }

    func isLocal(datagramFrom address: IPAddress, by interface: UInt32) -> Bool {
        if interface == Self.loopbackInterface { return true }
        switch address {
        case .v4 where address.isLoopback: return proven.contains(.loopback)
        case .v4: return proven.contains(Address(host: address, interface: 0))
        case .v6: return proven.contains(Address(host: address, interface: address.isLinkLocal ? interface : 0))
        }
    }

    /// Whether packets to the address end at another host; false as long as this host's own addresses aren't known.
    func isOfAnotherHost(_ address: IPAddress) -> Bool {
        !all.isEmpty && !all.contains(address) && !address.isLoopback
    }

    /// - Parameter interface: the interface that the connection is bound to, 0 for none.
    func isLocal(connectionFrom address: IPAddress, by interface: @autoclosure () -> UInt32) -> Bool {
        if address.isLoopback { return true }
        guard routes >= 0 else { return false }
        var place = rpcw_address(address, port: 0)
        return rpcw_is_own(routes, &place, interface())
    }

    /// Filters the datagrams of a socket from now on.
    /// - Returns: new failures; until they are resolved, only datagrams of that family that arrive by the loopback
    ///   interface count as this host's.
    func filter(_ socket: ListeningSocket) -> [String] {
        if !sockets.contains(socket) { sockets.append(socket) }
        return readAddresses()
    }

    /// Called periodically, since addresses may have changed.
    func looked(thinning: UInt32) -> [String] {
        if looksUntilProven > 0 {
            looksUntilProven -= 1
            prove()
        }
        let isThinnedAnew = thinning != self.thinning
        self.thinning = thinning
        if watch >= 0, rpcw_addresses_changed(watch) { return readAddresses() }
        guard families.contains(where: { $0.failure != nil }) else { return isThinnedAnew ? putFilters() : [] }
        looksUntilRetry -= 1
        return isThinnedAnew || looksUntilRetry <= 0 ? readAddresses() : []
    }

    private func readAddresses() -> [String] {
        looksUntilRetry = Self.looksBetweenRetries
        let failures = families.indices.compactMap { readAddresses(of: $0) }
        all = Set(families.flatMap { $0.addresses.map(\.address.ipAddress) })
        disprove()
        looksUntilProven = Self.looksMax
        prove()
        return failures
    }

    private func readAddresses(of index: Int) -> String? {
        let isIPv6 = families[index].isIPv6
        var buffer = [rpcw_own_address](repeating: rpcw_own_address(), count: families[index].addressesMax)
        let count = rpcw_own_addresses(isIPv6, &buffer, buffer.count)
        guard count >= 0 else {
            return failed(index, "this host's \(isIPv6 ? "IPv6" : "IPv4") addresses can't be read", -count)
        }
        // A kernel without IPv6 returns the IPv4 addresses instead.
        families[index].addresses = buffer.prefix(Int(count)).filter { $0.address.is_ipv6 == isIPv6 }
        return putFilters(of: index)
    }

    private func putFilters() -> [String] {
        let failures = families.indices.compactMap { putFilters(of: $0) }
        disprove()
        return failures
    }

    private func putFilters(of index: Int) -> String? {
        let family = families[index]
        for socket in sockets where socket.address.isIPv4 != family.isIPv6 {
            let code = rpcw_filter_datagrams(
                socket.descriptor, family.isIPv6, family.addresses, family.addresses.count, thinning)
            guard code == 0 else { return failed(index, "datagrams to \(socket.description) can't be filtered", code) }
        }
        families[index].failure = nil
        return nil
    }

    private var filtered: Set<Address> { Set(families.flatMap(\.filtered)) }

    private func disprove() { proven.formIntersection(filtered) }

    private func prove() {
        guard looksUntilProven == 0 || !sockets.contains(where: { rpcw_is_readable($0.descriptor) }) else { return }
        proven = filtered
        looksUntilProven = 0
    }

    /// - Returns: the failure to report; `nil` if it was reported before.
    private func failed(_ index: Int, _ what: String, _ code: Int32) -> String? {
        let failure = "\(SocketError(operation: what, code: code)); this host's datagrams count as any other's"
        defer { families[index].failure = failure }
        return failure == families[index].failure ? nil : failure
    }
}

extension OwnAddresses.Address {
    init(_ own: rpcw_own_address) { self.init(host: own.address.ipAddress, interface: own.interface) }
}
