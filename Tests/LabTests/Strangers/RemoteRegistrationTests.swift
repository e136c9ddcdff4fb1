import Addresses
import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite(
        "A remote peer that would register or call through us", .lab(.rpcbind, .daemon, settings: "quarantine: false"))
    struct RemoteRegistrationTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        private static let echo = Echo(program: 0x2000_0001, port: 4001)

        /// SET, UNSET, CALLIT, BCAST and INDIRECT in each version that has them.
        private static func calls(_ program: UInt32, _ netID: String) -> [PortmapperCall] {
            let program = Program(program)
            let protocolNumber: UInt32 = netID.hasPrefix("udp") ? 17 : 6
            let mapping = Mapping(program: program, version: 1, protocolNumber: protocolNumber, port: 4999)
            let address = netID.hasSuffix("6") ? "::.19.135" : "0.0.0.0.19.135"
            let rpcb = RPCB(program: program, version: 1, netID: netID, address: address, owner: "superuser")
            let remote = RemoteCall(program: program, version: 1, procedure: 0)
            return [
                .setMapping(mapping), .unsetMapping(mapping), .set(.v3, rpcb), .unset(.v3, rpcb), .set(.v4, rpcb),
                .unset(.v4, rpcb), .callIt(.v2, remote), .callIt(.v3, remote), .broadcast(remote), .indirect(remote),
            ]
        }

        @Test(
            "is denied, leaves no mark on the registry, and is audited",
            arguments: [Lab.Host.stranger, .approved], NetID.all)
        func denied(host: Lab.Host, netID: String) async throws {
            let isIPv6 = netID.hasSuffix("6")
            let transport: Transport = netID.hasPrefix("udp") ? .udp : .tcp
            let server = host == .stranger ? (isIPv6 ? "fd77:4::1" : "10.77.4.1") : (isIPv6 ? "fd77:1::1" : "10.77.1.1")
            let client = host == .stranger ? (isIPv6 ? "fd77:4::2" : "10.77.4.2") : (isIPv6 ? "fd77:1::2" : "10.77.1.2")
            if try !lab.isRunning(Self.echo.name) { try await lab.start(Self.echo) }
            let before = try lab.registeredServices()
            #expect(before.contains { $0[0] == "\(Self.echo.program)" })

            // A registered program, which UNSET would remove, and a program that SET would add.
            for program in [Self.echo.program, 0x2000_0077] {
                let asks = Self.calls(program, netID).map { Ask($0, to: server, over: transport) }
                let answers = try lab.ask(host, asks, options: "--all --wait 1000")
                for (ask, answer) in zip(asks, answers) {
                    if host == .stranger {
                        #expect(transport == .udp ? answer.isSilence : answer.isClosedWithoutByte, "\(ask): \(answer)")
                    } else {
                        // RFC 1833: a CALLIT or BCAST that can't be made gets no reply.
                        let isSilent = ask.call.procedureNumber == 5 && transport == .udp
                        #expect(
                            isSilent ? answer.isSilence : answer.body == .authError(.failed),
                            "\(ask.testDescription): \(answer)")
                        let callBytes = ask.call.encoded(xid: 1).count
                        #expect(answer.replies.allSatisfy { $0.count <= callBytes }, "no longer than the call")
                    }
                    try await lab.event(.denied) { denial in
                        denial.client == client && denial.transport == "\(transport)" && denial.program == program
                            && denial.procedure == ask.call.procedureName.rawValue
                            && denial.reason == (ask.call.isRegistration ? "remote-registration" : "remote-call")
                    }
                }
            }
            #expect(try lab.registeredServices() == before)
        }

        @Test("cannot tell from a denial whether the program is registered", arguments: [Transport.udp, .tcp])
        func denialsAreAlike(transport: Transport) async throws {
            if try !lab.isRunning(Self.echo.name) { try await lab.start(Self.echo) }
            let netID = "\(transport)"
            // The limited client may look up neither program.
            let lookups = { (program: UInt32) -> [PortmapperCall] in
                let rpcb = RPCB(program: Program(program), version: 1, netID: netID, address: "", owner: "")
                let mapping = Mapping(program: Program(program), version: 1, protocolNumber: 6, port: 0)
                return [.getPort(mapping), .getAddress(.v3, rpcb), .getAddress(.v4, rpcb), .getVersionAddress(rpcb)]
            }
            let pairs = zip(
                Self.calls(Self.echo.program, netID) + lookups(Self.echo.program),
                Self.calls(0x2000_0077, netID) + lookups(0x2000_0077))
            for (registered, unregistered) in pairs {
                let answers = try [registered, unregistered].map {
                    try lab.ask(.limited, $0, to: "10.77.3.1", over: transport, options: "--wait 1000")
                }
                let bytes = answers.map { $0.replies.first?.dropFirst(4) }
                let isSilent = registered.procedureNumber == 5 && transport == .udp
                #expect(
                    (bytes[0] == nil) == isSilent && bytes[0] == bytes[1], "\(registered.procedureName): \(answers)")
            }
        }

        @Test("goes unheard with a broadcast, as rpcinfo -b sends it")
        func broadcastSearch() throws {
            let output = try lab.exec(.approved, "rpcinfo", "-b", "nfs", "3", seconds: 2)
            #expect(output.text.isEmpty)
        }
    }
}

extension PortmapperCall {
    var isRegistration: Bool {
        switch self {
        case .set, .unset, .setMapping, .unsetMapping: true
        case .null, .getPort, .getAddress, .getVersionAddress, .getAddressList, .dump, .callIt, .broadcast, .indirect,
            .getTime, .universalToTransportAddress, .transportToUniversalAddress, .getStatistics:
            false
        }
    }
}

extension NetID {
    static let all = ["udp", "tcp", "udp6", "tcp6"]
}
