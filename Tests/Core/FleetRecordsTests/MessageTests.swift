import Addresses
import Bundles
import Clock
import FleetRecords
import TestSupport
import Testing

@Suite("messages between the daemon and its sidecar") struct MessageTests {
    private static let grant = SharedGrant(ip("192.0.2.7"), .nfs, .tcp)
    private static let behind = SharedGrant(ip("2001:db8::7"), .nfs, .udp, server: ip("198.51.100.9"))
    private static let time = Timestamp(milliseconds: 1_800_000_000_000)
    private static let record = GrantRecord(
        issued: time, used: time + .seconds(5), rule: "p.yaml:3 \"n\"", keep: .seconds(3600))

    private static var facts: DaemonFacts {
        var facts = DaemonFacts()
        facts.version = "0.2.0"
        facts.pair = "nas"
        facts.policyGroup = "nfs"
        facts.sharesQuarantines = true
        facts.quorum = 2
        return facts
    }

    private static let ofDaemon: [(DaemonMessage, String)] = [
        (
            .hello(facts),
            #"{"is":"hello","v":1,"version":"0.2.0","pair":"nas","grants-max":"32768","keep":"86400000","group":"nfs","#
                + #""shares-quarantines":"1","quarantines-max":"4096","quorum":"2","quarantine-for":"600000"}"#
        ),
        (
            .issued(grant, record),
            #"{"is":"issued","grant":"192.0.2.7!100003!tcp","issued":"1800000000000","used":"1800000005000","#
                + #""rule":"p.yaml:3 \"n\"","keep":"3600000"}"#
        ),
        (
            .used(behind, time),
            #"{"is":"used","grant":"2001:db8::7!100003!udp!198.51.100.9","at":"1800000000000"}"#
        ),
        (
            .ended(grant, EndedRecord(at: time, why: .revoked)),
            #"{"is":"ended","grant":"192.0.2.7!100003!tcp","at":"1800000000000","why":"revoked"}"#
        ),
        (.expired(grant), #"{"is":"expired","grant":"192.0.2.7!100003!tcp"}"#),
        (
            .quarantined(
                ip("203.0.113.5"),
                QuarantineRecord(from: time, until: time + .seconds(60), evidence: .tcp, denials: 20)),
            #"{"is":"quarantined","client":"203.0.113.5","from":"1800000000000","until":"1800000060000","#
                + #""evidence":"tcp","denials":"20"}"#
        ),
        (.released(ip("203.0.113.5")), #"{"is":"released","client":"203.0.113.5"}"#),
        (
            .status(
                NodeStatus(version: "0.2.0", mode: "enforce", serial: 4, grants: 7, denialsPerHour: 3, since: time)),
            #"{"is":"status","version":"0.2.0","mode":"enforce","policy":"4","table":"1","rpcbind":"1","grants":"7","#
                + #""denials-1h":"3","since":"1800000000000"}"#
        ),
        (.resyncBegan, #"{"is":"resync-began"}"#),
        (
            .live(grant, GrantRecord(issued: time, used: time, rule: "", keep: .seconds(1), origin: "b"), isUsed: true),
            #"{"is":"live","grant":"192.0.2.7!100003!tcp","issued":"1800000000000","used":"1800000000000","rule":"","#
                + #""keep":"1000","origin":"b","is-used":"1"}"#
        ),
        (
            .remembered(grant, EndedRecord(at: time, why: .revoked)),
            #"{"is":"remembered","grant":"192.0.2.7!100003!tcp","at":"1800000000000","why":"revoked"}"#
        ),
        (.resyncEnded, #"{"is":"resync-ended"}"#),
    ]

    private static var shared: StoreState {
        var state = StoreState(since: time)
        (state.isConnected, state.isNameShared) = (true, true)
        return state
    }

    private static var lost: StoreState {
        var state = StoreState(since: time)
        state.queue = 3
        state.detail = "no route"
        return state
    }

    private static let ofSidecar: [(SidecarMessage, String)] = [
        (
            .hello(version: "0.2.0", fleet: "lab", node: "nas1"),
            #"{"is":"hello","v":1,"version":"0.2.0","fleet":"lab","node":"nas1"}"#
        ),
        (.store(lost), #"{"is":"store","since":"1800000000000","queue":"3","detail":"no route"}"#),
        (
            .store(shared),
            #"{"is":"store","is-connected":"1","since":"1800000000000","queue":"0","is-name-shared":"1"}"#
        ),
        (
            .offer(
                GrantOffer(
                    grant: grant, node: "b", origin: "a", issued: time, age: .milliseconds(5), keep: .seconds(60))),
            #"{"is":"offer","grant":"192.0.2.7!100003!tcp","node":"b","origin":"a","issued":"1800000000000","age":"5","#
                + #""keep":"60000"}"#
        ),
        (.end(grant), #"{"is":"end","grant":"192.0.2.7!100003!tcp"}"#),
        (
            .quarantine(QuarantineOffer(client: ip("203.0.113.5"), until: time, nodes: ["a", "b"])),
            #"{"is":"quarantine","client":"203.0.113.5","until":"1800000000000","node0":"a","node1":"b"}"#
        ),
        (.policy(group: "nfs", serial: 42), #"{"is":"policy","group":"nfs","serial":"42"}"#),
        (
            .policyRefused(group: "nfs", detail: "no key"),
            #"{"is":"policy-refused","group":"nfs","detail":"no key"}"#
        ),
        (.order(id: "o1", text: "a\nb"), #"{"is":"order","id":"o1","text":"a\u000ab"}"#),
    ]

    @Test("of the daemon are a line each, and read back", arguments: ofDaemon)
    func daemon(message: DaemonMessage, text: String) throws {
        #expect(String(decoding: message.line, as: UTF8.self) == text + "\n")
        #expect(try DaemonMessage(line: Array(text.utf8)) == message)
        for count in text.utf8.indices {
            #expect(throws: RecordText.Fault.malformed) { try DaemonMessage(line: text.utf8[..<count]) }
        }
    }

    @Test("of the sidecar are a line each, and read back", arguments: ofSidecar)
    func sidecar(message: SidecarMessage, text: String) throws {
        #expect(String(decoding: message.line, as: UTF8.self) == text + "\n")
        #expect(try SidecarMessage(line: Array(text.utf8)) == message)
        for count in text.utf8.indices {
            #expect(throws: RecordText.Fault.malformed) { try SidecarMessage(line: text.utf8[..<count]) }
        }
    }

    @Test(
        "of another version, of no known kind, or with members that mean nothing, are refused",
        arguments: [
            (#"{"is":"hello","v":2,"version":"9","fleet":"lab","node":"a"}"#, RecordText.Fault.version),
            (#"{"is":"hello","v":1,"version":"9","fleet":"a b","node":"a"}"#, .member("fleet")),
            (#"{"is":"open"}"#, .member("is")), (#"{"v":1}"#, .member("is")),
            (#"{"is":"end","grant":"192.0.2.7!100003"}"#, .member("grant")),
            (#"{"is":"policy","group":"nfs","serial":"-1"}"#, .member("serial")),
            (#"{"is":"quarantine","client":"192.0.2.7/8","until":"1"}"#, .member("client")),
        ])
    func refused(text: String, fault: RecordText.Fault) {
        #expect(throws: fault) { try SidecarMessage(line: text.utf8) }
    }

    @Test("fit their limits, whatever is in them")
    func limits() {
        let text = String(repeating: "\u{1}", count: 500)
        let name = String(repeating: "n", count: 64)
        let address = ip("2001:db8:1111:2222:3333:4444:5555:6666")
        let grant = SharedGrant(address, Program(UInt32.max), .udp, server: address)
        let record = GrantRecord(issued: Self.time, used: Self.time, rule: text, keep: .seconds(1 << 40), origin: name)
        #expect(DaemonMessage.live(grant, record, isUsed: true).line.count <= DaemonMessage.bytesMax)
        let order = SidecarMessage.order(id: name, text: String(repeating: "\n", count: FleetOrder.bytesMax))
        #expect(order.line.count <= SidecarMessage.bytesMax)
        let nodes = [String](repeating: name, count: 20)
        let offer = QuarantineOffer(client: address, until: Self.time, nodes: nodes)
        #expect(SidecarMessage.quarantine(offer).line.count <= SidecarMessage.bytesMax)
    }

    @Test("name the first few nodes that have quarantined a client, however many have")
    func manyNodes() {
        let offer = QuarantineOffer(client: ip("192.0.2.7"), until: Self.time, nodes: (10...40).map { "n\($0)" })
        #expect(offer.nodes == (10..<18).map { "n\($0)" })
    }

    @Test("name a grant in one way alone", arguments: ["192.0.2.7!0100003!tcp", "192.0.2.007!100003!tcp", "::A!1!udp"])
    func grantTwice(text: String) {
        #expect(SharedGrant(text: text) == nil)
    }
}
