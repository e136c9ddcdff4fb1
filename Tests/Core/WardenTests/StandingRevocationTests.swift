import Addresses
import CoreSamples
import Firewall
import Policy
import TestSupport
import Testing

@testable import Warden

@Suite("an operator's revoke") struct StandingRevocationTests {
    private static let rules = [
        Rule.sample("nfs for all", from: ["10.1.0.0/16"], to: [.nfs], open: .always), .sample(),
    ]

    private static func revoke(
        _ bench: Bench, _ client: String = "10.1.2.3", port: UInt16? = nil, transport: Transport? = nil
    ) -> Revocation {
        var revocation = Revocation()
        bench.handle {
            revocation = $0.revoke(client: ip(client), port: port, transport: transport, at: $1, into: &$2)
        }
        return revocation
    }

    private static func admission(_ transport: Transport) -> Revocation.Admission {
        Revocation.Admission(
            program: .nfs, service: ServicePort(transport, 2049), rule: "policy.yaml:3 \"nfs for all\"")
    }

    @Test("cuts the flows of whom a rule with `open: always` admits, and names the rule that still does")
    func standing() {
        let bench = Bench.started(Self.rules)
        bench.call(.port(of: .mountd), from: .named)
        bench.forget()
        let revocation = Self.revoke(bench)
        #expect(revocation.grants == [GrantKey("10.1.2.3", .tcp(20048))])
        #expect(
            revocation.admissions.sorted { $0.service < $1.service }
                == Transport.allCases.sorted {
                    ServicePort($0, 1) < ServicePort($1, 1)
                }.map(Self.admission))
        let services = [ServicePort.tcp(20048), .tcp(2049), .udp(2049)]
        #expect(Set(bench.cut) == Set(services.map { .init(clients: range("10.1.2.3"), service: $0) }))
        #expect(bench.kernel.standing.count == 2, "what stands for all stays")
        #expect(bench.isQuiet)
    }

    @Test("of one port or transport cuts and names nothing else")
    func filters() {
        let bench = Bench.started(Self.rules)
        bench.forget()
        #expect(Self.revoke(bench, port: 2049, transport: .udp).admissions == [Self.admission(.udp)])
        #expect(Self.revoke(bench, port: 20048).admissions == [])
        #expect(Self.revoke(bench, transport: .tcp).admissions == [Self.admission(.tcp)])
        #expect(bench.cut.map(\.service) == [.udp(2049), .tcp(2049)])
    }

    @Test("of a client that no such rule names cuts and names nothing")
    func others() {
        let bench = Bench.started(Self.rules)
        bench.forget()
        #expect(Self.revoke(bench, "192.0.2.9") == Revocation())
        #expect(bench.cut == [])
    }
}
