/// Over which address families a service port is listened on, by a socket that other hosts can reach.
public struct ListenerState: Hashable, Sendable {
    public var ipv4: Bool
    public var ipv6: Bool

    public init(ipv4: Bool = false, ipv6: Bool = false) {
        self.ipv4 = ipv4
        self.ipv6 = ipv6
    }

    public var isListening: Bool { ipv4 || ipv6 }
}
