import Addresses
import Firewall
import ONCRPC
import Testing

@testable import Privilege

@Suite("a message between the two processes") struct MessageTests {
    private static let seeds = UInt64(1)...400

    private static func call(_ dice: inout Dice) -> NetfilterCall {
        switch dice.number(0...8) {
        case 0: .contents
        case 1: .lifetimes(dice.list(8) { $0.grantKey() })
        case 2: .cut(Dictionary(dice.list(8) { ($0.service(), Set($0.list(8) { $0.range() })) }) { first, _ in first })
        case 3: .events
        case 4: .reload
        case 5: .drops
        case 6: .uses(dice.list(8) { $0.grantKey() })
        case 7: .enforce
        default: .commit(Transaction(table: dice.text(10), operations: dice.list(8) { $0.operation() }))
        }
    }

    private static func reply(_ dice: inout Dice) -> NetfilterReply {
        switch dice.number(0...10) {
        case 0: .ready(KernelFeatures(ownsTables: dice.flag(), logsDrops: dice.flag()))
        case 1: .committed(dice.optional { $0.failure() })
        case 2: .contents(dice.optional { $0.contents() })
        case 3: .lifetimes(Dictionary(dice.list(8) { ($0.grantKey(), $0.duration()) }) { first, _ in first })
        case 4: .cut(dice.number(0...70_000))
        case 5: .reloading
        case 9: .enforced
        case 6: .failed(dice.text(100))
        case 7: .drops(dice.drops())
        case 8: .uses(Dictionary(dice.list(8) { ($0.grantKey(), $0.use()) }) { first, _ in first })
        default:
            .events(
                NetfilterEvents(
                    unsettled: dice.optional { $0.failure() }, changes: dice.list(8) { $0.change() },
                    packets: dice.list(8) { $0.packet() },
                    routing: RoutingRepair(
                        changes: dice.list(2) { $0.text(60) }, failure: dice.optional { $0.text(60) }),
                    reading: dice.optional { $0.files() }))
        }
    }

    private static func decodedCall(_ bytes: some Collection<UInt8>) throws -> NetfilterCall {
        try Array(bytes).withUnsafeBytes { try NetfilterCall(decoding: $0) }
    }

    private static func decodedReply(_ bytes: some Collection<UInt8>) throws -> NetfilterReply {
        try Array(bytes).withUnsafeBytes { try NetfilterReply(decoding: $0) }
    }

    @Test("is decoded as it was encoded", arguments: seeds)
    func roundTrip(seed: UInt64) throws {
        var dice = Dice(state: seed)
        let (call, reply) = (Self.call(&dice), Self.reply(&dice))
        #expect(try Self.decodedCall(call.encoded) == call)
        #expect(try Self.decodedReply(reply.encoded) == reply)
    }

    @Test("that is cut off anywhere, or has something behind it, is refused", arguments: seeds)
    func otherLengths(seed: UInt64) throws {
        var dice = Dice(state: seed)
        let (call, reply) = (Self.call(&dice).encoded, Self.reply(&dice).encoded)
        for length in 0..<call.count {
            #expect(throws: XDRError.self) { try Self.decodedCall(call.prefix(length)) }
        }
        for length in 0..<reply.count {
            #expect(throws: XDRError.self) { try Self.decodedReply(reply.prefix(length)) }
        }
        #expect(throws: XDRError.trailing(4)) { try Self.decodedCall(call + [0, 0, 0, 0]) }
        #expect(throws: XDRError.trailing(4)) { try Self.decodedReply(reply + [0, 0, 0, 0]) }
    }

    @Test("with any bytes changed is refused, or means something that can be said again", arguments: seeds)
    func hostileBytes(seed: UInt64) throws {
        var dice = Dice(state: seed)
        var bytes = Self.call(&dice).encoded
        for _ in 0..<50 {
            bytes[dice.number(0...bytes.count - 1)] = UInt8(dice.number(0...255))
            guard let call = try? Self.decodedCall(bytes) else { continue }
            #expect(try Self.decodedCall(call.encoded) == call)
        }
        var other = Self.reply(&dice).encoded
        for _ in 0..<50 {
            other[dice.number(0...other.count - 1)] = UInt8(dice.number(0...255))
            guard let reply = try? Self.decodedReply(other) else { continue }
            #expect(try Self.decodedReply(reply.encoded) == reply)
        }
    }

    @Test("that is noise is refused", arguments: seeds)
    func noise(seed: UInt64) {
        var dice = Dice(state: seed)
        let bytes = (0..<dice.number(0...200)).map { _ in UInt8(dice.number(8...255)) }
        #expect(throws: XDRError.self) { try Self.decodedCall(bytes) }
        #expect(throws: XDRError.self) { try Self.decodedReply(bytes) }
    }

    @Test("that announces more items than it has bytes for is refused before anything is allocated")
    func announcedItems() {
        // A `lifetimes` call with 4,000,000 keys, then a `commit` to the table "" with 8,000,000 operations; the
        // first item of each is invalid.
        #expect(throws: XDRError.truncated) { try Self.decodedCall([0, 0, 0, 2, 0, 0x3d, 9, 0] + [0, 0, 0, 9]) }
        #expect(throws: XDRError.truncated) {
            try Self.decodedCall([0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7a, 0x12, 0] + [0, 0, 0, 99])
        }
    }

    @Test("with more items than its limit is refused, whatever follows")
    func tooManyItems() {
        let limit = MessageLimits.elementsMax
        #expect(throws: XDRError.tooLong(length: 0xffff_ffff, limit: limit)) {
            try Self.decodedCall([0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff] + Array(repeating: 0, count: 64))
        }
    }

    @Test("that cuts the flows to too many services is refused; the sender makes several of it")
    func manyCuts() throws {
        let limit = MessageLimits.cutServicesMax
        #expect(throws: XDRError.tooLong(length: UInt32(limit) + 1, limit: limit)) {
            try Self.decodedCall([0, 0, 0, 3, 0, 1, 0, 1] + Array(repeating: 0, count: 64))
        }
        let all = Dictionary(
            uniqueKeysWithValues: (1...UInt16(7)).map { (ServicePort(.tcp, $0), Set([AddressRange.allIPv4])) })
        #expect(NetfilterCall.cuts(all) == [.cut(all)])
        var united: [ServicePort: Set<AddressRange>] = [:]
        let calls = NetfilterCall.cuts(all, servicesMax: 3)
        for case .cut(let cuts) in calls {
            #expect(cuts.count <= 3)
            united.merge(cuts) { $0.union($1) }
        }
        #expect(calls.count == 3 && united == all)
    }

    @Test("with a comment longer than the kernel's is refused; the sender has cut it, between characters")
    func longComment() throws {
        let key = GrantKey(client: .v4(1), service: ServicePort(.tcp, 1))
        let long = String(repeating: "é", count: 300)
        let sent = NetfilterCall.commit(
            Transaction(table: "t", operations: [.issueNew(key, timeout: .seconds(1), comment: long)]))
        let cut = String(repeating: "é", count: 127)
        #expect(
            try Self.decodedCall(sent.encoded)
                == .commit(Transaction(table: "t", operations: [.issueNew(key, timeout: .seconds(1), comment: cut)])))
        var encoder = XDREncoder()
        encoder.text(long)
        #expect(throws: XDRError.tooLong(length: 600, limit: 255)) {
            try encoder.bytes.withUnsafeBytes {
                var decoder = XDRDecoder($0)
                _ = try decoder.comment()
            }
        }
    }

    @Test("with a range that runs downwards, or across the families, is refused, and traps nobody")
    func backwardRange() {
        let ranges: [[UInt8]] = [
            [0, 0, 0, 4, 10, 0, 0, 2, 0, 0, 0, 4, 10, 0, 0, 1],
            [0, 0, 0, 4, 10, 0, 0, 2, 0, 0, 0, 6] + Array(repeating: 0xff, count: 16),
        ]
        for range in ranges {
            // A `cut` call: one service, tcp/80 of this host, and one range.
            #expect(throws: XDRError.invalid(0)) {
                try Self.decodedCall([0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1] + range)
            }
        }
    }

    @Test("with more changes than its limit says that anything may be different")
    func manyChanges() throws {
        let change = TableChange.changed(.init(table: "t", what: .definition, isOwn: false))
        let events = NetfilterEvents(
            changes: Array(repeating: change, count: MessageLimits.changesMax + 1),
            packets: Array(
                repeating: DroppedPacket(
                    client: .v4(1), clientPort: 1, service: ServicePort(.tcp, 1), kind: .probe),
                count: MessageLimits.packetsMax + 1))
        guard case .events(let read) = try Self.decodedReply(NetfilterReply.events(events).encoded) else {
            Issue.record("not events")
            return
        }
        #expect(read.changes == [.overrun] && read.packets.count == MessageLimits.packetsMax)
    }

    @Test("holds any duration, the longest cut to 292 years")
    func durations() throws {
        for (duration, expected) in [
            (Duration.seconds(Int64.max), Duration.nanoseconds(Int64.max)),
            (.seconds(Int64.min), .nanoseconds(Int64.min)), (.nanoseconds(-1), .nanoseconds(-1)),
        ] {
            let call = NetfilterCall.commit(
                Transaction(table: "t", operations: [.quarantine(.v4(1), timeout: duration)]))
            #expect(
                try Self.decodedCall(call.encoded)
                    == .commit(Transaction(table: "t", operations: [.quarantine(.v4(1), timeout: expected)])))
        }
    }

    @Test("with closed ports that end before they begin is refused")
    func closedBackwards() throws {
        var shape = TableShape()
        var gateway = GatewayShape(addresses: [.v4(1)])
        gateway.closed = [.init(ServerID(rawValue: 1), .udp, 0x1234...0x5678)]
        shape.gateway = gateway
        var bytes = NetfilterCall.commit(Transaction(table: "t", operations: [.makeTable(shape)])).encoded
        let ports: [UInt8] = [0, 0, 0x12, 0x34, 0, 0, 0x56, 0x78]
        let place = try #require(bytes.firstRange(of: ports))
        bytes.replaceSubrange(place, with: ports[4...] + ports[..<4])
        #expect(throws: XDRError.self) { try Self.decodedCall(bytes) }
    }
}
