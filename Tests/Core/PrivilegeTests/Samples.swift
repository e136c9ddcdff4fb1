import Addresses
import Configuration
import Firewall
import Policy

@testable import Privilege

/// A random generator that gives the same numbers for the same seed.
struct Dice: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        // SplitMix64.
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
    mutating func flag() -> Bool { Bool.random(using: &self) }
    mutating func port() -> UInt16 { UInt16(number(0...65_535)) }
    mutating func service() -> ServicePort {
        ServicePort(flag() ? .tcp : .udp, port(), at: ServerID(rawValue: flag() ? 0 : port()))
    }
    mutating func duration() -> Duration { .nanoseconds(number(-5...1 << 60)) }
    mutating func list<Item>(_ max: Int, _ make: (inout Self) -> Item) -> [Item] {
        (0..<number(0...max)).map { _ in make(&self) }
    }
    mutating func optional<Item>(_ make: (inout Self) -> Item) -> Item? { flag() ? make(&self) : nil }

    mutating func address() -> IPAddress {
        flag()
            ? .v4(UInt32.random(in: 0 ... .max, using: &self)) : .v6(IPv6Bits(UInt128(next()) << 64 | UInt128(next())))
    }

    mutating func range() -> AddressRange {
        let (one, other) = (address(), address())
        guard one.isIPv4 == other.isIPv4 else { return AddressRange(one, one) }
        return AddressRange(min(one, other), max(one, other))
    }

    mutating func grantKey() -> GrantKey { GrantKey(client: address(), service: service()) }
    mutating func standingKey() -> StandingKey { StandingKey(clients: range(), service: service()) }
    mutating func callersKey() -> CallersKey { CallersKey(server: ServerID(rawValue: port()), clients: range()) }
    mutating func text(_ max: Int) -> String {
        String(list(max) { "aZ 'é→\u{0}\u{1F600}".randomElement(using: &$0) ?? "x" })
    }
    mutating func comment() -> String { text(25) }

    mutating func grant() -> GrantElement {
        GrantElement(
            key: grantKey(), timeout: duration(), expiresIn: duration(), packets: next(), bytes: next(),
            comment: comment())
    }

    mutating func shape() -> TableShape {
        var shape = TableShape(
            name: text(10), management: flag() ? .guardPorts : .sets, observes: flag(), mark: UInt32(port()),
            keep: duration(), grantsMax: number(0...1 << 20), quarantinesMax: number(0...1 << 20))
        shape.isOwned = flag()
        shape.logGroup = port()
        shape.flowMark = UInt32(port())
        shape.ownFlowMark = UInt32(port())
        shape.gateway = optional { $0.gateway() }
        return shape
    }

    mutating func gateway() -> GatewayShape {
        var gateway = GatewayShape(addresses: list(4) { $0.address() })
        gateway.closed = list(3) {
            let (one, other) = ($0.port(), $0.port())
            return .init(ServerID(rawValue: $0.port()), $0.flag() ? .tcp : .udp, min(one, other)...max(one, other))
        }
        (gateway.serverMark, gateway.clientMark) = (UInt32(port()), UInt32(port()))
        return gateway
    }

    mutating func operation() -> Operation {
        switch number(0...18) {
        case 0: .makeTable(shape())
        case 1: .deleteTable(name: text(10))
        case 2: .guardPort(service())
        case 3: .unguardPort(service())
        case 4: .issue(grantKey(), timeout: duration(), expiresIn: optional { $0.duration() }, comment: comment())
        case 5: .issueNew(grantKey(), timeout: duration(), comment: comment())
        case 6: .revoke(grantKey())
        case 7: .remember(grantKey(), timeout: duration(), comment: comment())
        case 8: .forget(grantKey())
        case 9: .addStanding(standingKey())
        case 10: .removeStanding(standingKey())
        case 11: .quarantine(address(), timeout: duration())
        case 12: .shield(flag() ? .tcp : .udp, timeout: duration())
        case 13: .unshield
        case 14: .replaceStanding
        case 15: .adoptTable(shape())
        case 16: .addCallers(callersKey())
        case 17: .removeCallers(callersKey())
        default: .release(address())
        }
    }

    mutating func element() -> TableElement {
        switch number(0...6) {
        case 0: .guarded(service())
        case 1: .granted(grantKey())
        case 2: .remembered(grantKey())
        case 3: .standing(standingKey())
        case 4: .shielded(flag() ? .tcp : .udp)
        case 5: .callers(callersKey())
        default: .quarantined(address())
        }
    }

    mutating func change() -> TableChange {
        if number(0...9) == 0 { return .overrun }
        let what: TableChange.What =
            switch number(0...4) {
            case 0: .tableMade
            case 1: .tableDeleted
            case 2: .definition
            case 3: .elementAdded(optional { $0.element() })
            default: .elementDeleted(optional { $0.element() })
            }
        return .changed(
            TableChange.Change(
                table: text(10), what: what, isOwn: flag(),
                writer: optional { TableChange.Writer(processID: UInt32($0.port()), name: $0.text(4)) }))
    }

    mutating func packet() -> DroppedPacket {
        var packet = DroppedPacket(
            client: address(), clientPort: port(), service: service(),
            kind: DroppedPacket.Kind.allCases.randomElement(using: &self) ?? .probe)
        packet.payload = list(MessageLimits.payloadBytesMax) { UInt8($0.number(0...255)) }
        return packet
    }

    mutating func drops() -> DropCounts {
        var drops = DropCounts()
        (drops.guarded, drops.quarantined, drops.strangers) = (next(), next(), next())
        drops.unreported = next()
        return drops
    }

    mutating func use() -> GrantUse { GrantUse(expiresIn: duration(), packets: next()) }

    mutating func failure() -> CommitFailure {
        CommitFailure(errno: Int32(number(-5...200)), message: text(100), operation: optional { $0.number(0...1000) })
    }

    mutating func files() -> FilesRead {
        Dictionary(list(4) { ($0.text(40), $0.answer()) }) { first, _ in first }
    }

    private mutating func answer() -> FileAnswer {
        switch number(0...2) {
        case 0: .file(list(40) { UInt8(truncatingIfNeeded: $0.next()) })
        case 1: .folder(list(4) { $0.text(30) })
        default: .failure(errno: Int32(number(1...133)))
        }
    }

    mutating func contents() -> TableContents {
        var contents = TableContents()
        contents.guarded = Set(list(5) { $0.service() })
        contents.granted = list(5) { $0.grant() }
        contents.remembered = list(5) { $0.grant() }
        contents.standing = Set(list(5) { $0.standingKey() })
        contents.callers = Set(list(5) { $0.callersKey() })
        contents.quarantined = Dictionary(list(5) { ($0.address(), $0.duration()) }) { first, _ in first }
        contents.grantsMayBeKept = flag()
        return contents
    }
}

extension Rule {
    static func sample(
        from: [ClientTerm], except: [ClientTerm] = [], over: Set<Transport> = [.tcp, .udp], open: Opening = .onLookup
    ) -> Rule {
        Rule(
            name: "r", location: Location(file: "policy.yaml", line: 1, column: 1), from: from, except: except,
            to: [Program(100_003)], over: over, open: open)
    }
}

func address(_ text: String) throws -> IPAddress {
    guard let address = IPAddress(text) else { throw NotAnAddress(text: text) }
    return address
}

struct NotAnAddress: Error {
    var text: String
}

/// A term from `10.0.0.0/8`, or a host name.
func term(_ text: String) throws -> ClientTerm {
    let parts = text.split(separator: "/")
    guard parts.count == 2, let length = Int(parts[1]) else { return .host(text) }
    guard let prefix = Prefix(try address(String(parts[0])), length: length) else { throw NotAnAddress(text: text) }
    return .prefix(prefix)
}
