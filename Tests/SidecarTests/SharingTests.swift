import Addresses
import Clock
import FleetRecords
import Foundation
import System
import Testing

/// Two nodes, and the real etcd.
@Suite("sidecars", .serialized) struct SharingTests {
    private let grant = SharedGrant(.v4(0xc000_0207), .nfs, .tcp)

    private func issued(_ grant: SharedGrant) -> DaemonMessage {
        let now = HostClock.wallClock()
        return .issued(grant, GrantRecord(issued: now, used: now, rule: "nas", keep: .seconds(86_400)))
    }

    private func withPair(_ body: (FleetFixture, FixtureNode, FixtureNode) throws -> Void) throws {
        let fixture = try FleetFixture()
        defer { fixture.end() }
        let (one, other) = (try fixture.node("a"), try fixture.node("b"))
        for node in [one, other] { try node.start() }
        for node in [one, other] { try node.daemon.hearsThatItIsInStep() }
        try body(fixture, one, other)
    }

    @Test("tell each other grants, their ends and quarantines, and list them")
    func share() throws {
        try withPair { _, one, other in
            one.daemon.tell(issued(grant), .used(grant, HostClock.wallClock()))
            let offer = try other.daemon.hears(offerOf: grant)
            #expect(offer.node == "a" && offer.origin == "a")
            #expect(try other.answer(.grants).contains { $0.contains("192.0.2.7") && $0.contains("\"copy\"") })
            let client = IPAddress.v4(0xcb00_7109)
            let now = HostClock.wallClock()
            one.daemon.tell(
                .quarantined(
                    client, QuarantineRecord(from: now, until: now + .seconds(600), evidence: .tcp, denials: 20)),
                .status(
                    NodeStatus(
                        version: "test", mode: "enforce", serial: 0, grants: 1, denialsPerHour: 2, since: now)))
            let quarantine = try other.daemon.hears("a quarantine") {
                if case .quarantine(let offer) = $0 { offer } else { nil }
            }
            #expect(quarantine.client == client && quarantine.nodes == ["a"])
            one.daemon.tell(.ended(grant, EndedRecord(at: HostClock.wallClock(), why: .revoked)))
            try other.daemon.hears("the end") { if case .end(grant) = $0 { true } else { nil } }
            #expect(try other.answer(.grants).contains { $0.contains("\"ended\"") })
            #expect(try other.answer(.quarantines).contains { $0.contains("203.0.113.9") })
            #expect(try other.answer(.nodes).first?.contains("\"node\":\"a\",\"silent\":false") == true)
            try other.answers(.status, "\"synced\":true")
        }
    }

    @Test("that start anew, as a daemon that does, are told everything again")
    func restart() throws {
        try withPair { _, one, other in
            one.daemon.tell(issued(grant), .used(grant, HostClock.wallClock()))
            _ = try other.daemon.hears(offerOf: grant)
            // The daemon closes, and has lost its copies.
            other.daemon.drop()
            _ = try other.daemon.hears(offerOf: grant)
            #expect(other.daemon.greetings == 2)
            try other.stop()
            other.daemon.drop()
            let second = SharedGrant(.v4(0xc000_0208), .nfs, .tcp)
            one.daemon.tell(issued(second), .used(second, HostClock.wallClock()))
            try other.start()
            for grant in [grant, second] { _ = try other.daemon.hears(offerOf: grant) }
        }
    }

    @Test("tell that another host has the same name, as a machine that was copied has")
    func nameShared() throws {
        let fixture = try FleetFixture()
        defer { fixture.end() }
        let (first, second) = (try fixture.node("a"), try fixture.node("a", at: "copy"))
        for (node, grants) in [(first, 1), (second, 2)] as [(FixtureNode, UInt32)] {
            try node.start()
            try node.daemon.hearsThatItIsInStep()
            node.daemon.tell(
                .status(
                    NodeStatus(
                        version: "test", mode: "enforce", serial: 0, grants: grants, denialsPerHour: 0,
                        since: HostClock.wallClock())))
            try node.answers(.nodes, "\"grants\":\(grants),")
        }
        try first.daemon.hears("the other's status in place of its own") {
            if case .store(let state) = $0, state.isNameShared { true } else { nil }
        }
        try first.answers(.status, "\"name_shared\":true")
        #expect(try !second.answer(.status).contains { $0.contains("name_shared") }, "it wrote last")
    }

    @Test("wait for etcd, tell that it is away, and publish what happened meanwhile")
    func storeAway() throws {
        try withPair { fixture, one, other in
            fixture.etcd.stop()
            for node in [one, other] {
                try node.daemon.hears("the loss") {
                    if case .store(let state) = $0, !state.isConnected, state.detail != nil { true } else { nil }
                }
            }
            try one.answers(.status, "\"synced\":false")
            one.daemon.tell(issued(grant), .used(grant, HostClock.wallClock()))
            try fixture.etcd.start()
            _ = try other.daemon.hears(offerOf: grant)
        }
    }

    @Test("that can't read a record count it, and go on")
    func unreadable() throws {
        try withPair { fixture, one, other in
            let prefix = "/rpcwarden/v1/lab/pairs/p/grants/c/"
            for (key, value) in [("192.0.2.9!100003!tcp", "{\"v\":2}"), ("nonsense", "x"), ("192.0.2.10!1!udp", "{")] {
                try fixture.etcd.control("--cacert=ca.pem", "put", prefix + key, value)
            }
            one.daemon.tell(issued(grant), .used(grant, HostClock.wallClock()))
            _ = try other.daemon.hears(offerOf: grant)
            #expect(try other.answer(.status).first?.contains("\"unreadable\":3") == true)
            // They are passed over by a full read, too.
            try other.stop()
            try other.start()
            other.daemon.drop()
            _ = try other.daemon.hears(offerOf: grant)
        }
    }

    @Test("list each node, though one has written a thousand other keys")
    func manyKeys() throws {
        try withPair { fixture, one, other in
            for start in stride(from: 0, to: 1100, by: 100) {
                try fixture.put((start..<start + 100).map { ("nodes/0/\($0)", [0x7b]) })
            }
            one.daemon.tell(
                .status(
                    NodeStatus(
                        version: "test", mode: "enforce", serial: 0, grants: 1, denialsPerHour: 2,
                        since: HostClock.wallClock())))
            try one.answers(.status, "\"queue\":0")
            try other.answers(.nodes, "\"node\":\"a\"")
        }
    }

    @Test("read on when a node has written more than a response may have")
    func large() throws {
        try withPair { fixture, one, other in
            one.daemon.tell(issued(grant), .used(grant, HostClock.wallClock()))
            _ = try other.daemon.hears(offerOf: grant)
            try other.stop()
            // As the role of node "0" permits it; each is as large as etcd takes.
            let value = [UInt8](repeating: 0x7b, count: 1_400_000)
            for folder in ["pairs/p/grants/0", "quarantines/0", "orders", "nodes/0"] {
                for number in 0..<6 { try fixture.put([("\(folder)/192.0.2.\(number)", value)]) }
            }
            other.daemon.drop()
            try other.start()
            _ = try other.daemon.hears(offerOf: grant)
            try other.answers(.status, "\"synced\":true")
            one.daemon.tell(
                .status(
                    NodeStatus(
                        version: "test", mode: "enforce", serial: 0, grants: 1, denialsPerHour: 2,
                        since: HostClock.wallClock())))
            try other.answers(.nodes, "\"node\":\"a\"")
        }
    }
}
