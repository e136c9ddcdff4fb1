import Addresses
import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite("Small packets on the way to a gateway")
    struct PathTests {
        @Test(
            "a list over TCP arrives behind a router with a smaller MTU",
            .lab(.filer, .filerRpcbind, .filerGanesha, .filerStatd))
        func smallMTU() async throws {
            let lab = try Lab.current
            // The spare host becomes a client behind the approved one, which routes for it.
            try lab.control("spare")
            try lab.shell(
                """
                ip link set ha0 down
                ip route add 10.77.8.0/24 via 10.77.1.2
                ip route add fd77:8::/64 via fd77:1::2
                """)
            let router = """
                echo 1 >/proc/sys/net/ipv4/ip_forward
                echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
                ip address add fd77:8::2/64 dev ha0 nodad
                ip link set ha0 mtu 1300
                """
            let client = """
                ip address add fd77:8::12/64 dev ha0 nodad
                ip route add default via 10.77.8.2
                ip route add default via fd77:8::2
                """
            for (host, script) in [(Lab.Host.approved, router), (.spare, client)] {
                let output = try lab.exec(host, "sh", "-ec", script)
                #expect(output.isSuccess, "\(output)")
            }
            let policy = Policies.filer.replacingOccurrences(of: "10.77.1.0/24", with: "10.77.8.12, \"fd77:8::12\"")
            try await lab.serve(Filer.settings(), policy: policy)
            for (server, router) in [("10.77.5.2", "10.77.8.2"), ("fd77:5::2", "fd77:8::2")] {
                let answer = try await eventually("\(router) routes") {
                    let answer = try lab.ask(.spare, .dump(.v4), to: server, over: .tcp, options: "--wait 3000")
                    return answer.replies.isEmpty ? nil : answer
                }
                let reply = try #require(answer.replies.first)
                #expect(reply.count > 1300, "\(reply.count): it must need more than one packet")
                let client = server.contains(":") ? "fd77:8::12" : "10.77.8.12"
                try await lab.event(.permitted) { $0.client == client && $0.server == "filer1" }
            }
        }

        @Test("a call in fragments is answered", .gateway(.filerRpcbind, .daemon, policy: Policies.filerEchoes()))
        func fragments() async throws {
            let lab = try Lab.current
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            let route = try lab.exec(
                .approved, "ip", "route", "add", "10.77.5.2/32", "via", "10.77.1.1", "mtu", "lock", "200")
            #expect(route.isSuccess, "\(route)")
            var call = XDREncoder(reserving: 400)
            // RFC 5531, 9: a call with AUTH_SYS and a long machine name.
            for word in [UInt32.random, 0, 2, 100_000, 2, 3, 1, 276, 1, 255] { call.uint32(word) }
            call.raw([UInt8](repeating: 0x61, count: 255) + [0])
            for word in [0, 0, 0, 0, 0, echo.program, 1, 6, 0] as [UInt32] { call.uint32(word) }
            let before = try reassembled(lab)
            let answer = Answer(
                try lab.peer(.approved, "call --to 10.77.5.2 --over udp --show --hex \(hex(call.bytes))"))
            #expect(answer.result(of: echo.getPort) == .port(4001), "\(answer)")
            #expect(try reassembled(lab) == before + 1, "it did come in fragments")
            #expect(try lab.connect(echo) == "connected")
        }

        /// The packets that the gateway has put together: ReasmOKs of /proc/net/snmp.
        private func reassembled(_ lab: Lab) throws -> Int {
            let words = try lab.shell("grep '^Ip: [0-9]' /proc/net/snmp").split(separator: " ")
            return try #require(words.count > 15 ? Int(words[15]) : nil)
        }
    }
}
