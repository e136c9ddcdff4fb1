import Addresses
import Calls
import CoreSamples
import Portmapper
import TestSupport
import Testing

@testable import Exchanges

@Suite("places of calls") struct PlacesTests {
    private static func peer(_ client: UInt32, _ transport: Transport, isLocal: Bool = false) -> Peer {
        Peer(
            address: .v4(0x0a01_0200 + client), port: 700, transport: transport,
            asked: UniversalAddress(host: .v4(0x0a4d_0101), port: 111), channel: 1, isLocal: isLocal)
    }

    private static func request(
        _ peer: Peer, _ xid: UInt32, about program: Program = .nfs, at server: ServerNumber = 0
    ) -> Exchange.Request {
        .init(
            peer: peer, xid: xid, byteCount: 56, call: .port(of: program), permission: .local, server: server)
    }

    @Test("the end of a datagram's call leaves another call of the same port and transaction id to its retransmissions")
    func sharedID() throws {
        var exchanges = Exchanges()
        let first = exchanges.begin(Self.request(Self.peer(1, .udp), 7))
        let other = Self.request(Self.peer(1, .udp), 7, about: .mountd)
        let second = exchanges.begin(other)
        guard case .began(let id) = first, case .began(let otherID) = second else {
            Issue.record("\(first) \(second)")
            return
        }
        _ = exchanges.end(id)
        let again = exchanges.begin(other)
        #expect(again == .duplicate)
        _ = exchanges.end(otherID)
        let isQuiet = exchanges.isQuiet
        #expect(isQuiet)
    }

    @Test(
        "each client has its share over each transport, however calls come and go",
        arguments: 1...4 as ClosedRange<UInt64>)
    func shares(seed: UInt64) {
        var dice = SeededGenerator(state: seed)
        var exchanges = Exchanges()
        let callers = (0..<3 as Range<UInt32>).flatMap { [Self.peer($0, .tcp), Self.peer($0, .udp)] }
        let all = callers + [Self.peer(9, .tcp, isLocal: true)]
        var under: [[Exchange.ID]] = Array(repeating: [], count: all.count)
        // Tides, so that the number of calls passes all bounds in both directions.
        var isRising = true
        for xid in 0..<30_000 as Range<UInt32> {
            if xid % 5000 == 0 { isRising = xid % 10_000 == 0 }
            let caller = [0, 0, 0, 1, Int.random(in: all.indices, using: &dice)].randomElement(using: &dice) ?? 0
            if UInt32.random(in: 0..<10, using: &dice) < (isRising ? 8 : 2) {
                switch exchanges.begin(Self.request(all[caller], xid)) {
                case .began(let id):
                    #expect(under[caller].count < 1024)
                    under[caller].append(id)
                case .full: #expect(under[caller].count == 1024)
                case .duplicate: Issue.record("no call is repeated")
                }
            } else if let id = under[caller].popLast() {
                #expect(exchanges.end(id)?.peer == all[caller])
            }
            if xid % 512 == 0, !exchanges.isConsistent { Issue.record("the counts are wrong at \(xid)") }
        }
        let count = exchanges.count
        #expect(count == under.map(\.count).reduce(0, +))
        for id in under.joined() { _ = exchanges.end(id) }
        let isQuiet = exchanges.isQuiet
        #expect(isQuiet)
    }

    @Test("those that one answer serves come in the order of their questions")
    func askers() {
        var askers = Askers<Int>()
        #expect(Array(askers) == [])
        for asker in 1...4 { askers.append(asker) }
        #expect(Array(askers) == [1, 2, 3, 4] && askers.count == 4 && askers == [1, 2, 3, 4])
        #expect(askers.contains(1) && askers.contains(4) && !askers.contains(5))
    }

    @Test("calls over UDP, whoever sends them, leave places to those over TCP")
    func reserve() {
        var exchanges = Exchanges(servers: 2)
        var (client, xid) = (UInt32(0), UInt32(0))
        func begins(_ transport: Transport, _ count: Int, at server: ServerNumber = 0) -> Int {
            (0..<count).count { _ in
                xid += 1
                client = (client + 1) % 200
                let request = Self.request(Self.peer(client, transport), xid, at: server)
                if case .began = exchanges.begin(request) { return true }
                return false
            }
        }
        let ofServer = Exchanges.callsPerServerMax - Exchanges.callsPerServerTCPReserve
        #expect(begins(.udp, 20_000, at: 1) == ofServer)
        #expect(begins(.tcp, 20_000, at: 1) == Exchanges.callsPerServerTCPReserve)
        for (id, _) in exchanges.all { _ = exchanges.end(id) }
        #expect(begins(.udp, 20_000) == Exchanges.callsMax - Exchanges.callsTCPReserve)
        #expect(begins(.tcp, 20_000) == Exchanges.callsTCPReserve)
    }
}
