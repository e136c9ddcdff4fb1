import Addresses
import Portmapper
import Testing

extension LabTests {
    @Suite("A server with many addresses", .lab(.rpcbind, .daemon, policy: Policies.echoes()))
    struct MultihomedTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        private static let addresses = [
            "10.77.1.1", "10.77.1.9", "10.77.2.1", "10.77.3.1", "10.77.4.1",
            "fd77:1::1", "fd77:2::1", "fd77:3::1", "fd77:4::1",
        ]

        @Test("drops calls to broadcast and multicast addresses")
        func dropsBroadcasts() async throws {
            let calls = [
                "--to 10.77.1.255 --broadcast", "--to 255.255.255.255 --broadcast",
                "--to ff02::1 --interface eth0", "--to ff02::202 --interface eth0",
            ]
            for (call, isIPv4) in zip(calls, [true, true, false, false]) {
                let before = try lab.events(.denied).count { $0.reason == "broadcast" }
                // A broadcast has no route of its own from an address that isn't on the link.
                let output = try lab.peer(.approved, "call \(call) --over udp --all --wait 300 v2 null")
                #expect(output.lines == ["silence"], "\(call): \(output)")
                // The server is not a member of the multicast group that rpcinfo uses; the kernel drops this call.
                guard !call.contains("ff02::202") else { continue }
                try await eventually("the call to \(call) is audited") {
                    try lab.events(.denied).count {
                        $0.reason == "broadcast" && $0.client?.contains(isIPv4 ? "." : ":") == true
                    } > 0 && lab.events(.denied).count { $0.reason == "broadcast" } > before
                }
            }
        }

        @Test("replies from the very address that was asked", arguments: addresses, [Transport.udp, .tcp])
        func repliesFromTheAddressAsked(server: String, transport: Transport) throws {
            let answer = try lab.ask(.approved, .null(.v4), to: server, over: transport)
            let host = server.contains(":") ? "[\(server)]" : server
            #expect(answer.sources == ["\(host):111"], "\(answer)")
        }

        @Test("tells the address that was asked", arguments: addresses, [Transport.udp, .tcp])
        func tellsTheAddressAsked(server: String, transport: Transport) async throws {
            let echo = Echo(port: 4001, transport: transport, isIPv4: !server.contains(":"))
            if try !lab.isRunning(echo.name) { try await lab.start(echo) }
            let netID = "\(echo.netID)"
            // Clients may give any address as a hint, even an address that is not the server's.
            var calls: [PortmapperCall] = []
            for hint in ["\(server).0.111", "1.2.3.4.5.6", "garbage", ""] {
                let rpcb = RPCB(program: Program(echo.program), version: 1, netID: netID, address: hint, owner: "")
                calls += [.getAddress(.v3, rpcb), .getAddress(.v4, rpcb), .getVersionAddress(rpcb)]
            }
            let answers = try lab.ask(.approved, calls.map { Ask($0, to: server, over: transport) })
            for (call, answer) in zip(calls, answers) {
                #expect(answer.result(of: call) == .address("\(server).15.161"), "\(call): \(answer)")
            }
            let own = RPCB(program: .portmapper, version: 4, netID: netID, address: "", owner: "")
            let answer = try lab.ask(.approved, .getAddress(.v4, own), to: server, over: transport)
            #expect(answer.result(of: .getAddress(.v4, own)) == .address("\(server).0.111"))
        }
    }
}
