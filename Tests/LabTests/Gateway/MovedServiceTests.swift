import Addresses
import Testing

extension LabTests {
    @Suite("The port of before, of a server's service that has moved")
    struct MovedServiceTests {
        @Test(
            "stays shut while something answers there, and refuses its clients once nobody listens",
            .gateway(.filerRpcbind, .daemon, policy: Policies.filerEchoes()), arguments: [Transport.tcp, .udp])
        func moved(transport: Transport) async throws {
            let lab = try Lab.current
            let old = Echo(transport: transport, host: .filer)
            let new = Echo(port: 4002, transport: transport, host: .filer)
            let (open, shut) = transport == .tcp ? ("connected", "timeout") : ("reply", "silence")
            try await lab.start(old)
            try lab.lookUp(old)
            #expect(try lab.connect(old).hasPrefix(open))
            try lab.register(old, as: "unset")
            try await lab.start(new)
            try await lab.event(.orphaned) { $0.server == "filer1" }
            for host in [Lab.Host.approved, .stranger] { #expect(try lab.connect(old, from: host) == shut) }
            try lab.lookUp(new)
            #expect(try lab.connect(new).hasPrefix(open))

            try lab.kill(old.name)
            // That it answered is believed for ten seconds.
            try await eventually("refused", within: .seconds(20)) { try lab.connect(old) == "refused" }
            #expect(try !lab.isGuarded(old))
            #expect(try lab.connect(old, from: .stranger) == "refused")
            #expect(try lab.connect(new, from: .stranger) == shut)
            #expect(try lab.connect(new).hasPrefix(open))
        }
    }
}
