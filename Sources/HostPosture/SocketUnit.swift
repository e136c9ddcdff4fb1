/// What a socket unit listens at: its file, then its drop-ins.
public struct SocketUnit: Hashable, Sendable {
    /// `ListenStream=` and `ListenDatagram=` that are in force, such as `tcp 0.0.0.0:111`.
    public private(set) var listens: [String] = []

    /// - Parameter texts: the unit's file first, the drop-ins in the order of their names.
    public init(_ texts: [String]) {
        for text in texts {
            for line in text.split(separator: "\n") {
                let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2 else { continue }
                let value = parts[1].trimmed
                switch parts[0].trimmed {
                case "ListenStream": take("tcp", value)
                case "ListenDatagram": take("udp", value)
                default: continue
                }
            }
        }
    }

    /// An empty value takes back everything said before, of either kind (systemd.socket(5)).
    private mutating func take(_ transport: String, _ value: String) {
        if value.isEmpty { listens = [] } else { listens.append("\(transport) \(value)") }
    }

    /// A bare port number stands for all addresses.
    public var exposesPortmapper: [String] {
        listens.filter { listen in
            let place = String(listen.dropFirst(4))
            if place == "111" { return true }
            return place.hasSuffix(":111") && !place.hasPrefix("127.") && !place.hasPrefix("[::1]")
        }
    }

    public func isRelocated(port: UInt16) -> Bool {
        let wanted = ["tcp 127.0.0.1:\(port)", "udp 127.0.0.1:\(port)", "tcp [::1]:\(port)", "udp [::1]:\(port)"]
        return wanted.allSatisfy(listens.contains)
            && listens.contains { $0 == "tcp /run/rpcbind.sock" || $0 == "tcp /var/run/rpcbind.sock" }
            && exposesPortmapper.isEmpty
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
