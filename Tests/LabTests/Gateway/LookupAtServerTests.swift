import Addresses
import Testing

extension LabTests {
    @Suite(
        "Five hundred lookups at a server, each followed at once by a connect",
        .gateway(
            .filerRpcbind, .daemon, settings: Filer.settings() + "\nlimits: {calls-per-second: 10000}",
            policy: Policies.filerEchoes()))
    struct LookupAtServerTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        @Test(
            "are all answered and all let in, each from a source of its own",
            arguments: [true, false], [(Transport.udp, Transport.tcp), (.tcp, .tcp), (.udp, .udp)])
        func fromManySources(isIPv4: Bool, transports: (lookup: Transport, service: Transport)) async throws {
            let echo = Echo(port: 4001, transport: transports.service, isIPv4: isIPv4, host: .filer)
            if try !lab.isRunning(echo.name) { try await lab.start(echo) }
            // GETADDR, which IPv6 clients use, answers for the transport of the call.
            let lookup = isIPv4 ? transports.lookup : transports.service
            let first =
                isIPv4 ? "10.78.\(transports.lookup == .udp ? 1 : 8).1" : "fd78::\(transports.lookup == .udp ? 1 : 8):1"
            let output = try lab.peer(
                .approved,
                "storm --to \(echo.server) --over \(lookup) --count 500"
                    + " --program \(echo.program) --version 1 --service \(echo.transport) --connect"
                    + " --sources \(first)/500 --parallel 8 --wait 3000", seconds: 60)
            #expect(
                output.isSuccess && output.text.contains("ok=500 refused=0 timeout=0 unanswered=0 denied=0"),
                "\(output)")
        }
    }
}
