/// A listening socket as the kernel reports it, and the address families over which other hosts reach it.
public struct ListenerSocket: Hashable, Sendable {
    /// The kernel's number for the socket, unique within this boot.
    public var cookie: UInt64
    /// The user that made the socket.
    public var uid: UInt32
    public var ipv4: Bool
    public var ipv6: Bool

    public init(cookie: UInt64, uid: UInt32, ipv4: Bool, ipv6: Bool) {
        self.cookie = cookie
        self.uid = uid
        self.ipv4 = ipv4
        self.ipv6 = ipv6
    }
}

/// The sockets that listen at a service port and that other hosts can reach.
public struct ListenerState: Hashable, Sendable {
    public var sockets: Set<ListenerSocket>
    /// A server's host refused a call: nobody listens. A port of this host has just no sockets then.
    public private(set) var isRefused = false

    public static var refused: Self {
        var state = Self()
        state.isRefused = true
        return state
    }

    public init(_ sockets: Set<ListenerSocket> = []) {
        self.sockets = sockets
    }

    /// One socket, or none if it is reached over neither family.
    public init(ipv4: Bool, ipv6: Bool = false, uid: UInt32 = 0, cookie: UInt64 = 1) {
        sockets = ipv4 || ipv6 ? [ListenerSocket(cookie: cookie, uid: uid, ipv4: ipv4, ipv6: ipv6)] : []
    }

    public var ipv4: Bool { sockets.contains(where: \.ipv4) }
    public var ipv6: Bool { sockets.contains(where: \.ipv6) }
    public var isListening: Bool { !sockets.isEmpty }
}
