extension Settings {
    /// Descriptors that are not connections: listeners, netlink, rpcbind's routes, the control socket, files that
    /// are read or opened anew, a few scrapes, and connections that are accepted only to be closed.
    static let descriptorsReserved = 48
    /// What a gateway has under way: calls of services, and questions to portmappers of clients, 256 each.
    static let descriptorsOfGateway = 512

    /// A gateway has a connection to each server's portmapper, too.
    private var descriptorsReserved: Int {
        Self.descriptorsReserved + (gateway.map { Self.descriptorsOfGateway + $0.servers.count } ?? 0)
    }

    /// The descriptors that these settings need: local connections have as many places as remote ones.
    public var descriptorsNeeded: Int { 2 * limits.tcpConnections + descriptorsReserved }

    /// The limits with as many connections as fit into the descriptors that the process may open.
    ///
    /// Without this, accept(2) would fail first, for strangers and approved clients alike.
    public func limits(fittedToDescriptors count: Int) -> Limits {
        var fitted = limits
        fitted.tcpConnections = max(1, min(limits.tcpConnections, (count - descriptorsReserved) / 2))
        return fitted
    }
}
