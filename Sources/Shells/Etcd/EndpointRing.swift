/// The members in turn: one is used until it fails.
struct EndpointRing {
    private let endpoints: [EtcdEndpoint]
    private var index = 0
    /// Since a member answered last.
    private var failures = 0

    init(_ endpoints: [EtcdEndpoint]) { self.endpoints = endpoints }

    var current: EtcdEndpoint { endpoints[index] }

    mutating func answered() { failures = 0 }

    /// Goes on to the next one.
    /// - Returns: whether all have failed in turn.
    mutating func failed() -> Bool {
        index = (index + 1) % endpoints.count
        failures += 1
        guard failures >= endpoints.count else { return false }
        failures = 0
        return true
    }
}
