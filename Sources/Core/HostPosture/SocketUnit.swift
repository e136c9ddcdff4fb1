/// The listen addresses of a socket unit, from its file and its drop-ins.
public struct SocketUnit: Hashable, Sendable {
    /// The values of `ListenStream=` and `ListenDatagram=` in force, such as `tcp 0.0.0.0:111`.
    public private(set) var listens: [String] = []
    /// `Transparent=`: the sockets take packets to addresses of other hosts (IP_TRANSPARENT).
    public private(set) var isTransparent = false

    /// - Parameter texts: the unit's file first, then the drop-ins in the order of their names.
    public init(_ texts: [String]) {
        for text in texts {
            for line in text.split(separator: "\n") {
                let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2 else { continue }
                let value = parts[1].trimmed
                switch parts[0].trimmed {
                case "ListenStream": take("tcp", value)
                case "ListenDatagram": take("udp", value)
                case "Transparent": isTransparent = ServiceUnit.boolean(value) ?? isTransparent
                default: continue
                }
            }
        }
    }

    /// An empty value removes all earlier values, of either kind (systemd.socket(5)).
    private mutating func take(_ transport: String, _ value: String) {
        if value.isEmpty { listens = [] } else { listens.append("\(transport) \(value)") }
    }

    /// The listen addresses that expose port 111. A bare port number stands for all addresses.
    public var exposesPortmapper: [String] {
        listens.filter { listen in
            let place = String(listen.dropFirst(4))
            if place == "111" { return true }
            return place.hasSuffix(":111") && !place.hasPrefix("127.") && !place.hasPrefix("[::1]")
        }
    }

    /// Paths, and names in the abstract namespace, which begin with `@`; in their order.
    public var unixSockets: [String] {
        listens.filter { $0.hasPrefix("tcp ") && Self.isUnix($0) }.map { String($0.dropFirst(4)) }
    }

    /// Port 111 of every address, over both transports.
    static let everywhere = ["0.0.0.0:111", "[::]:111"].flatMap { ["tcp \($0)", "udp \($0)"] }

    public var bindsEverywhere: Bool { Self.everywhere.allSatisfy(listens.contains) }

    public var hasPorts: Bool { !listens.allSatisfy(Self.isUnix) }

    /// The unit has no port and at least one path. Without a path, no client would find rpcbind.
    public var hasUnixSocketsAlone: Bool { !hasPorts && unixSockets.contains { $0.hasPrefix("/") } }

    private static func isUnix(_ listen: String) -> Bool {
        let place = listen.dropFirst(4)
        return place.hasPrefix("/") || place.hasPrefix("@")
    }
}

extension StringProtocol {
    var trimmed: String {
        var text = Substring(self)
        while let first = text.first, first.isWhitespace { text = text.dropFirst() }
        while let last = text.last, last.isWhitespace { text = text.dropLast() }
        return String(text)
    }
}

extension Sequence where Element: Hashable {
    /// Each element once, in the order of the first ones.
    var uniqued: [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
