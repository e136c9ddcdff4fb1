import Addresses
import AuditTrail
import Clock
import HostPosture
import TestSupport

@testable import Reports

/// 2026-11-21T08:00:00Z, and so many seconds.
func time(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: 1_795_248_000_000 + seconds * 1000) }

func event(_ kind: AuditEvent.Kind, _ change: (inout AuditEvent) -> Void = { _ in }) -> AuditEvent {
    var event = AuditEvent(kind)
    change(&event)
    return event
}

func grant(_ kind: AuditEvent.Kind, _ client: String, _ port: UInt16 = 2049) -> AuditEvent {
    event(kind) {
        $0.client = ip(client)
        $0.program = .nfs
        $0.granted = ServicePort(.tcp, port)
    }
}

/// The sum of these events, each at its second.
func tally(
    _ events: [(Int64, AuditEvent)], host: String = "a", since: Timestamp? = nil, limits: Tally.Limits = .init()
) -> Tally {
    var tally = Tally(since: since, limits: limits)
    for (second, event) in events { tally.note(event, at: second, host: host) }
    return tally
}

extension Tally {
    mutating func note(_ event: AuditEvent, at second: Int64, host: String) {
        note(LoggedEvent(event: event, time: time(second), host: host), source: "file")
    }
}

func report(
    _ tally: Tally, rules: [Report.PolicyRule]? = nil, permitted: Report.PermittedLines? = nil,
    posture: Report.Posture? = nil
) -> Report {
    Report(
        tally,
        Report.Surroundings(
            created: time(100_000), version: "1", host: "collector", sources: ["audit.jsonl"], posture: posture,
            rules: rules, permitted: permitted))
}
