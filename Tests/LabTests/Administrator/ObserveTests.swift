import Addresses
import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite("Observe mode")
    struct ObserveTests {
        @Test(
            "a stranger is answered, listed to and let in, and the log says what enforce would have done",
            .lab(.rpcbind, .daemon, settings: "mode: observe", policy: Policies.echoes()))
        func stranger() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            for transport in [Transport.udp, .tcp] {
                let answer = try lab.ask(.stranger, echo.getPort, to: "10.77.4.1", over: transport)
                #expect(answer.result(of: echo.getPort) == .port(4001), "\(answer)")
            }
            let dump = try lab.ask(.stranger, .dump(.v2), to: "10.77.4.1", over: .tcp)
            #expect(dump.body != .authError(.failed) && dump.replies.count == 1, "\(dump)")
            // The source of a UDP call may be forged.
            let forged = try lab.ask(.stranger, .dump(.v2), to: "10.77.4.1", over: .udp, options: "--wait 300")
            #expect(forged.isSilence, "\(forged)")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "connected")
            let lookup = try await lab.event(.denied) { $0.client == "10.77.4.2" && $0.procedure == "getport" }
            #expect(lookup.reason == "stranger" && lookup.enforced == false && lookup.decision == "denied")
            #expect(try lab.events(.permitted).isEmpty && lab.grants().isEmpty)
            let status = try lab.listing("status", as: StatusReport.self)
            #expect(status.mode == "observe" && status.counts["denied_stranger"] == 4, "\(status)")
            // The packet that enforce mode would have dropped.
            let probe = try await lab.event(.probed) { $0.client == "10.77.4.2" }
            #expect(probe.enforced == false)
        }

        @Test(
            "registrations and remote calls from outside are denied all the same",
            .lab(.rpcbind, .daemon, settings: "mode: observe", policy: Policies.echoes()))
        func invariantThree() async throws {
            let lab = try Lab.current
            let calls = PortmapperCall.all(at: "10.77.4.1.0.111").filter {
                [.set, .unset].contains($0.procedureName)
            }
            #expect(!calls.isEmpty)
            let before = try lab.registeredServices()
            for call in calls { _ = try lab.ask(.stranger, call, to: "10.77.4.1", over: .tcp) }
            #expect(try lab.registeredServices() == before)
            let event = try await lab.event(.denied) { $0.reason == "remote-registration" }
            #expect(event.enforced != false)
        }

        @Test(
            "who a rule permits is granted, as in enforce",
            .lab(.rpcbind, .daemon, settings: "mode: observe", policy: Policies.echoes()))
        func approved() async throws {
            let lab = try Lab.current
            let echo = Echo()
            try await lab.start(echo)
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(4001))
            #expect(try lab.grants().map(\.client) == ["10.77.1.2"])
            #expect(try lab.connect(echo) == "connected")
            try await lab.event(.permitted) { $0.client == "10.77.1.2" }
            #expect(try lab.events(.probed).isEmpty && lab.events(.denied).isEmpty)
        }
    }
}
