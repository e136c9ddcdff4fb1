import Addresses
import AuditTrail
import Clock
import Firewall
import Testing

@testable import AuditLog

@Suite("rpcwarden-audit(5)")
struct AuditPageTests {
    private func items(_ section: String, _ macro: String) throws -> [String] {
        Manual.parts(of: try Manual("rpcwarden-audit.5").section(section), at: ".It \(macro)").map(\.title)
    }

    @Test("describes the events that there are, and no others")
    func events() throws {
        #expect(try items("EVENTS", "Li").sorted() == AuditEvent.Kind.allCases.map(\.rawValue).sorted())
    }

    @Test("describes the reasons that there are, and no others")
    func reasons() throws {
        #expect(try items("REASONS OF DENIAL", "Li").sorted() == DenialReason.allCases.map(\.rawValue).sorted())
    }

    @Test("describes the keys that an event may have, in their order, and no others")
    func keys() throws {
        var event = AuditEvent(.denied, detail: "x")
        event.client = IPAddress("10.0.0.1")
        (event.port, event.xid, event.count) = (1, 1, 1)
        (event.transport, event.over) = (.tcp, .tcp)
        (event.program, event.programName, event.version) = (Program(100_005), "mountd", 3)
        (event.procedure, event.rule, event.reason) = ("getport", "r", .noRule)
        (event.server, event.host) = ("s", "h")
        (event.granted, event.window, event.isEnforced) = (ServicePort(.tcp, 1), .seconds(1), false)
        // A new field of events must be set here too.
        let unset = Mirror(reflecting: event).children.filter { "\($0.value)" == "nil" }
        #expect(unset.map(\.label) == [])
        let keys = AuditField.fields(of: event, at: Timestamp(milliseconds: 0)).map(\.key)
        #expect(try items("KEYS", "Ic") == keys)
    }

    @Test("the keys of the example are keys")
    func example() throws {
        let display = try #require(
            Manual.displays(in: try Manual("rpcwarden-audit.5").section("EXAMPLES")).last)
        let keys = display.matches(of: #/"([a-z_]+)":/#).map { String($0.1) }
        #expect(keys.count == 13)
        #expect(Set(keys).isSubset(of: try items("KEYS", "Ic")))
    }
}
