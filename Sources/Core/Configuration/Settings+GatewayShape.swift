import Addresses
import Firewall

extension Settings.Gateway {
    /// The servers as the table needs them. Their addresses are numbered in the order of the configuration: for each
    /// server its addresses, then its aliases.
    public var shape: GatewayShape {
        let numbered = numbered
        var shape = GatewayShape(addresses: numbered.map(\.address))
        shape.closed = numbered.flatMap { number, _, _, server in
            Transport.allCases.flatMap { transport in
                server.closed(transport).map { GatewayShape.ClosedPorts(number, transport, $0) }
            }
        }
        if let toServers = marks.first, let toClients = marks.last {
            (shape.serverMark, shape.clientMark) = (toServers, toClients)
        }
        return shape
    }

    /// The name of the server that has this address.
    public func name(of server: ServerID) -> String? { numbered.first { $0.number == server }?.server.name }

    /// The number of the address at which packets to this address arrive: a NAT translates each alias to the server's
    /// first address of the same family.
    public func translated(_ number: ServerID) -> ServerID {
        numbered.first { $0.number == number }?.own ?? number
    }

    /// All addresses of the servers, each with the number that ``translated(_:)`` tells. Made in one pass, since there may
    /// be thousands.
    public var numbered: [(number: ServerID, address: IPAddress, own: ServerID, server: Settings.Server)] {
        var all: [(number: ServerID, address: IPAddress, own: ServerID, server: Settings.Server)] = []
        for server in servers {
            let first = all.count + 1
            func own(_ number: ServerID, _ alias: IPAddress) -> ServerID {
                let index = server.addresses.firstIndex { $0.isIPv4 == alias.isIPv4 }
                return index.map { ServerID(rawValue: UInt16(first + $0)) } ?? number
            }
            for address in server.addresses + server.aliases {
                let number = ServerID(rawValue: UInt16(all.count + 1))
                let isOwn = Int(number.rawValue) < first + server.addresses.count
                all.append((number, address, isOwn ? number : own(number, address), server))
            }
        }
        return all
    }
}

extension Settings.Server {
    /// The ports that are closed whatever is registered there: disjoint and ascending, since the kernel's set takes no
    /// ranges that overlap. The table closes port 111 by itself.
    fileprivate func closed(_ transport: Transport) -> [ClosedRange<UInt16>] {
        func ports(_ ranges: [Settings.PortRange]) -> Ports {
            Ports(ranges.filter { $0.transport == transport }.map(\.ports))
        }
        let open =
            switch guarded {
            case .registered: Ports.all
            case .all: ports(pass)
            }
        return open.complement.union(ports(close)).subtracting(Ports([111...111])).ranges
    }
}

/// Ports as disjoint ranges, in ascending order.
private struct Ports {
    let ranges: [ClosedRange<UInt16>]

    static let all = Ports([0...UInt16.max])

    init(_ some: [ClosedRange<UInt16>]) {
        var merged: [ClosedRange<UInt16>] = []
        for range in some.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = merged.last, Int(range.lowerBound) <= Int(last.upperBound) + 1 {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        ranges = merged
    }

    var complement: Ports {
        var gaps: [ClosedRange<UInt16>] = []
        var next = 0
        for range in ranges {
            if next < Int(range.lowerBound) { gaps.append(UInt16(next)...range.lowerBound - 1) }
            next = Int(range.upperBound) + 1
        }
        if next <= Int(UInt16.max) { gaps.append(UInt16(next)...UInt16.max) }
        return Ports(gaps)
    }

    func union(_ other: Ports) -> Ports { Ports(ranges + other.ranges) }
    func subtracting(_ other: Ports) -> Ports { complement.union(other).complement }
}
