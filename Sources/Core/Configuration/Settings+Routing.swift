import Firewall

extension Settings.Gateway {
    /// The rules and routes that these settings need, whoever makes them.
    public var routingPlan: RoutingPlan {
        RoutingPlan(
            servers: interceptedAddresses,
            // The configuration's parser takes two of each.
            toServers: .init(mark: marks[0], table: tables[0]), toClients: .init(mark: marks[1], table: tables[1]),
            interceptsCallbacks: servers.contains { $0.callbacks == .auto })
    }

    /// The rules and routes that rpcwarden makes and restores; `nil`: the administrator makes them.
    public var managedRouting: RoutingPlan? {
        switch routing {
        case .manage: routingPlan
        case .check: nil
        }
    }
}
