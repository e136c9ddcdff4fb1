import AuditTrail
import Firewall
import ONCRPC
import Policy
import Testing

@Suite("case counts") struct CaseCountsTests {
    @Test("each case has a place of its own")
    func places() {
        var counts = CaseCounts<AuditEvent.Kind>()
        for (number, kind) in AuditEvent.Kind.allCases.enumerated() {
            #expect(counts[kind] == 0)
            counts[kind] += number + 1
        }
        #expect(AuditEvent.Kind.allCases.map { counts[$0] } == Array(1...AuditEvent.Kind.allCases.count))
    }
}
