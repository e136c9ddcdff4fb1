import Addresses
import Testing

extension LabTests {
    @Suite(
        "Two hundred lookups, each followed at once by a connect",
        .lab(.rpcbind, .daemon, settings: "limits: {calls-per-second: 10000}", policy: Policies.echoes()))
    struct LookupThenConnectTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        @Test(
            "are all answered and all let in, each from a source of its own",
            arguments: [true, false], [(Transport.udp, Transport.tcp), (.tcp, .tcp), (.udp, .udp)])
        func fromManySources(isIPv4: Bool, transports: (lookup: Transport, service: Transport)) async throws {
            let echo = Echo(port: 4001, transport: transports.service, isIPv4: isIPv4)
            if try !lab.isRunning(echo.name) { try await lab.start(echo) }
            // GETADDR, which IPv6 clients use, answers for the transport of the call.
            let lookup = isIPv4 ? transports.lookup : transports.service
            let first =
                isIPv4 ? "10.78.\(transports.lookup == .udp ? 1 : 2).1" : "fd78::\(transports.lookup == .udp ? 1 : 2):1"
            let output = try lab.peer(
                .approved,
                "storm --to \(isIPv4 ? "10.77.1.1" : "fd77:1::1") --over \(lookup) --count 200"
                    + " --program \(echo.program) --version 1 --service \(echo.transport) --connect"
                    + " --sources \(first)/200 --parallel 8 --wait 3000", seconds: 60)
            #expect(
                output.isSuccess && output.text.contains("ok=200 refused=0 timeout=0 unanswered=0 denied=0"),
                "\(output)")
        }

        @Test("are all answered and all let in from one source", arguments: [Transport.udp, .tcp])
        func fromOneSource(lookup: Transport) async throws {
            let echo = Echo(port: 4001)
            if try !lab.isRunning(echo.name) { try await lab.start(echo) }
            let output = try lab.peer(
                .approved,
                "storm --to 10.77.1.1 --over \(lookup) --count 200 --program \(echo.program) --version 1"
                    + " --service tcp --connect --parallel 8 --wait 3000", seconds: 60)
            #expect(
                output.isSuccess && output.text.contains("ok=200 refused=0 timeout=0 unanswered=0 denied=0"),
                "\(output)")
        }
    }
}
