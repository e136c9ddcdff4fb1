import Addresses
import AuditTrail
import Foundation
import Testing

@testable import AuditLog

@Suite("the journal's messages")
struct PlainWordsTests {
    private static func event(_ kind: AuditEvent.Kind, _ fill: (inout AuditEvent) -> Void) -> AuditEvent {
        var event = AuditEvent(kind)
        event.client = .v4(0x0a14_0007)
        event.transport = .tcp
        fill(&event)
        return event
    }

    private static let events: [(AuditEvent, String)] = [
        (
            event(.permitted) {
                $0.procedure = "getaddr"
                $0.program = .nfs
                $0.programName = "nfs"
                $0.version = 3
                $0.rule = "p.yaml:3 \"r\""
            }, "permitted 10.20.0.7: getaddr of nfs v3 over tcp, by p.yaml:3 \"r\""
        ),
        (
            event(.denied) {
                $0.procedure = "7"
                $0.program = Program(200_000)
                $0.reason = .stranger
                $0.isEnforced = false
            }, "denied 10.20.0.7: procedure 7 of program 200000 over tcp (stranger) (observed only)"
        ),
        (event(.denied) { $0.reason = .rate }, "denied 10.20.0.7: a call over tcp (rate)"),
        (
            event(.granted) {
                $0.granted = ServicePort(.udp, 2049)
                $0.program = .nfs
                $0.rule = "p.yaml:3"
            }, "opened udp/2049 to 10.20.0.7 for program 100003, by p.yaml:3"
        ),
        (
            event(.revoked) {
                $0.granted = ServicePort(.udp, 2049)
                $0.detail = "by the operator"
            }, "closed udp/2049 to 10.20.0.7: by the operator"
        ),
        (
            event(.quarantined) {
                $0.window = .seconds(600)
                $0.detail = "at least 20 denials"
            }, "quarantined 10.20.0.7 for 600 s: at least 20 denials"
        ),
        (AuditEvent(.rpcbindUp), "rpcbind answers"),
        (
            AuditEvent(.reloadRefused, detail: "x.yaml:1:1: error: no"),
            "configuration and policy were refused, the old ones stay in force: x.yaml:1:1: error: no"
        ),
    ]

    @Test("are sentences", arguments: events)
    func sentences(event: AuditEvent, expected: String) {
        #expect(event.plainWords == expected)
    }
}
