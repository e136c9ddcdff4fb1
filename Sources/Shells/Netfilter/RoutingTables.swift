import Addresses
import CNetfilter
import Firewall
import Glibc

/// The kernel's rules and routes, compared with a plan and brought in line with it.
///
/// Works in the network namespace of the thread that called `init`. Touches nothing but what has the marks and
/// tables of the plan.
public final class RoutingTables {
    /// Bounds the rounds of ``install(_:)``: another writer may undo our work as fast as we do it.
    private static let roundsMax = 8

    let socket: NetlinkSocket
    /// Receives what the kernel announces.
    let watch: NetlinkSocket
    let numbers: FamilyNumbers
    var isFollowing = false

    /// - Parameter isFollowing: whether the kernel tells of changes from now on; see ``follow(_:)``.
    public convenience init(isFollowing: Bool = true) throws(NetfilterError) {
        try self.init(numbers: FamilyNumbers(), receiveBufferBytes: 1 << 20, isFollowing: isFollowing)
    }

    init(numbers: FamilyNumbers, receiveBufferBytes: Int32, isFollowing: Bool = true) throws(NetfilterError) {
        self.numbers = numbers
        watch = try NetlinkSocket(bus: NETLINK_ROUTE, isBlocking: false)
        watch.setOption(SOL_SOCKET, SO_RCVBUFFORCE, receiveBufferBytes)
        socket = try NetlinkSocket(bus: NETLINK_ROUTE)
        // The kernel picks out our tables. Kernels before 4.20 tell of all routes, among which we pick them out.
        socket.setOption(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        try follow(isFollowing)
    }

    /// What of the plan is missing, and what is in excess; changes nothing.
    public func difference(from plan: RoutingPlan) throws(NetfilterError) -> RoutingDifference {
        let present = try present(plan)
        return RoutingDifference(missing: present.missing, excess: present.excess.map(\.part))
    }

    /// Removes what is in excess, adds what is missing, and returns both.
    ///
    /// - Throws: the first error, after everything else was done: a host where IPv6 is turned off has its IPv4 routes.
    @discardableResult
    public func install(_ plan: RoutingPlan) throws(NetfilterError) -> RoutingDifference {
        var done = RoutingDifference()
        for _ in 0..<Self.roundsMax {
            let present = try present(plan)
            if present.missing.isEmpty && present.excess.isEmpty { break }
            try change(present)
            done.missing += present.missing
            done.excess += present.excess.map(\.part)
        }
        return done
    }

    /// Removes everything that has the plan's marks and tables.
    @discardableResult
    public func remove(_ plan: RoutingPlan) throws(NetfilterError) -> RoutingDifference {
        try install(plan.withoutServers)
    }

    /// Removes first: a route that is in excess may stand in the way of one that is missing.
    private func change(_ present: PresentRouting) throws(NetfilterError) {
        var failure: NetfilterError?
        for excess in present.excess {
            do throws(NetfilterError) { try remove(excess) } catch { failure = failure ?? error }
        }
        for part in present.missing {
            do throws(NetfilterError) { try add(part) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    private func add(_ part: RoutingPart) throws(NetfilterError) {
        var request = MessageBuffer()
        let sequence = socket.nextSequence()
        request.beginAdding(part, numbers, sequence: sequence)
        request.end()
        // Another process added it since we looked.
        try ask("adding the \(part)", request, sequence, ignoring: [EEXIST])
    }

    /// Sends the kernel its own description back, as ip(8) does to flush a table: that fits this rule or route alone.
    private func remove(_ present: PresentRouting.Excess) throws(NetfilterError) {
        var request = MessageBuffer()
        let sequence = socket.nextSequence()
        request.begin(type: present.deletion, flags: NLM_F_ACK, sequence: sequence)
        present.description.withUnsafeBytes { request.append($0) }
        request.end()
        // Another process, or the end of an interface, removed it since we looked.
        try ask("removing the \(present.part)", request, sequence, ignoring: [ENOENT, ESRCH])
    }

    private func ask(
        _ doing: String, _ request: borrowing MessageBuffer, _ sequence: UInt32, ignoring expected: Set<Int32>
    ) throws(NetfilterError) {
        do throws(NetfilterError) {
            _ = try socket.ask(doing, request, sequence: sequence) { _ in }
        } catch {
            guard case .failed(_, let number, _) = error, expected.contains(number) else { throw error }
        }
    }
}

/// The kernel's numbers of the families.
struct FamilyNumbers {
    var ipv6 = UInt8(AF_INET6)

    func number(_ family: RoutingFamily) -> UInt8 {
        switch family {
        case .ipv4: UInt8(AF_INET)
        case .ipv6: ipv6
        }
    }

    func family(_ number: UInt8) -> RoutingFamily? { RoutingFamily.allCases.first { self.number($0) == number } }
}
