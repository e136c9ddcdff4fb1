/// Who can reach a listening socket, other than this host itself.
public struct ListenerState: Hashable, Sendable {
    public var ipv4: Bool
    public var ipv6: Bool

    public init(ipv4: Bool, ipv6: Bool) {
        self.ipv4 = ipv4
        self.ipv6 = ipv6
    }

    public static let nobody = ListenerState(ipv4: false, ipv6: false)

    public var isListening: Bool { ipv4 || ipv6 }
}
