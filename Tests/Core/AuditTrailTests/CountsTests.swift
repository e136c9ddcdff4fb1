import AuditTrail
import Testing

@Suite("counts by case") struct CountsTests {
    @Test("each case has a count of its own, from 0 on")
    func apart() {
        var counts = Counts<AuditEvent.Kind>()
        #expect(AuditEvent.Kind.allCases.allSatisfy { counts[$0] == 0 })
        for (index, kind) in AuditEvent.Kind.allCases.enumerated() { counts[kind] += index }
        #expect(AuditEvent.Kind.allCases.map { counts[$0] } == Array(AuditEvent.Kind.allCases.indices))
    }
}
