extension Settings.Limits {
    /// Descriptors that are not connections: listeners, netlink, rpcbind's routes, the control socket, files that
    /// are read or opened anew, a few scrapes, and connections that are accepted only to be closed.
    static let descriptorsReserved = 48

    /// The descriptors that these limits need: local connections have as many places as remote ones.
    public var descriptorsNeeded: Int { 2 * tcpConnections + Self.descriptorsReserved }

    /// The limits with as many connections as fit into the descriptors that the process may open.
    ///
    /// Without this, accept(2) would fail first, for strangers and approved clients alike.
    public func fitted(toDescriptors count: Int) -> Self {
        var limits = self
        limits.tcpConnections = max(1, min(tcpConnections, (count - Self.descriptorsReserved) / 2))
        return limits
    }
}
