import Addresses
import Testing

@testable import HostPosture

@Suite("evidence for CIS 2.1.12") struct EvidenceTests {
    private func evidence(_ change: (inout HostFacts) -> Void) -> ControlEvidence {
        var facts = ExaminationTests.sound()
        change(&facts)
        return Examination(facts).rpcbindEvidence
    }

    private static func idle(_ facts: inout HostFacts, _ enablement: String) {
        for unit in Examination.rpcbindUnits {
            facts.units[unit] = UnitState(enablement: enablement, activity: "inactive")
        }
        (facts.rpcbindNetwork, facts.sockets) = (nil, [])
    }

    @Test("its commands name rpcbind's units, for both questions, and the mistake of the published audit is told")
    func commands() {
        let evidence = evidence { _ in }
        let units = "rpcbind.socket rpcbind.service 2>/dev/null"
        #expect(
            evidence.steps.prefix(3).map(\.command) == [
                "dpkg-query -s rpcbind", "systemctl is-enabled \(units) | grep 'enabled'",
                "systemctl is-active \(units) | grep '^active'",
            ])
        #expect(evidence.steps.allSatisfy { !$0.command.contains("cups") })
        #expect(evidence.remarks.count == 1 && evidence.remarks[0].contains("cups.socket"))
        #expect(evidence.steps[2].result == "rpcbind.socket: active; rpcbind.service: active")
    }

    @Test("an rpcbind behind rpcwarden is an exception to document, with what stands in its place")
    func front() {
        let evidence = evidence { _ in }
        #expect(evidence.verdict == .exception && evidence.statement.contains("exception to document"))
        #expect(evidence.steps.map(\.result).contains { $0.hasPrefix("PrivateNetwork=yes") })
        #expect(evidence.steps.last?.result == "tcp 0.0.0.0:111 of rpcwarden")
    }

    @Test("no exception while rpcwarden observes, nor without a need for rpcbind, nor with one that isn't known")
    func noException() {
        let observing = evidence { $0.expected.isObserving = true }
        #expect(observing.verdict == .notMet && observing.statement.contains("observes"))
        let idle = evidence { $0.registrations = ExaminationTests.registrations() }
        #expect(idle.verdict == .notMet && idle.statement.contains("no registered service needs it"))
        #expect(evidence { $0.registrations = nil }.verdict == .unknown)
    }

    @Test("an rpcbind that other hosts reach does not meet it")
    func exposed() {
        #expect(Examination(ExaminationTests.stock()).rpcbindEvidence.verdict == .notMet)
    }

    @Test("neither enabled nor active, or not installed, meets it", arguments: ["masked", "disabled", ""])
    func met(enablement: String) {
        #expect(evidence { Self.idle(&$0, enablement) }.verdict == .met)
        let absent = evidence {
            Self.idle(&$0, "")
            $0.package = .absent
        }
        #expect(absent.verdict == .met && absent.steps[0].result == "not installed")
    }

    @Test("an RPM distribution is asked with rpm")
    func rpm() { #expect(evidence { $0.family = .redHat }.steps[0].command == "rpm -q rpcbind") }
}
