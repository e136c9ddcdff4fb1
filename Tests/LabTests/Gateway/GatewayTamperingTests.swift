import Foundation
import Portmapper
import Testing

extension LabTests {
    @Suite("Who changes a gateway's table, rules or routes from outside")
    struct GatewayTamperingTests {
        private static let strangers = "src net 10.77.4.0/24 or src net fd77:4::/64"

        /// A stranger's calls and connects to the filer, one after the other, until they are killed.
        private func spawnTrying(_ lab: Lab) async throws {
            let trying = """
                while :; do
                  \(lab.peerBinary) call --to 10.77.5.2 --over udp --wait 20 v2 dump
                  \(lab.peerBinary) call --to fd77:5::2 --over udp --wait 20 v4 dump
                done
                """
            try lab.spawn(.stranger, "trying", ["sh", "-c", trying])
            try await eventually("the stranger has tried") { lab.log("trying").count > 30 }
        }

        @Test(
            "has rules and routes back at once, and logged; meanwhile calls go to no server",
            .gateway(.filerRpcbind, .daemon, policy: Policies.filerEchoes()),
            arguments: [
                "ip rule del fwmark 0x20000/0x20000", "ip -6 rule del fwmark 0x20000/0x20000",
                "ip route del local 10.77.5.2 dev lo table 111", "ip -6 route del local fd77:5::2 dev lo table 111",
                "ip route flush table 111", "ip rule flush; ip rule add table main pref 32766",
            ])
        func routing(change: String) async throws {
            let lab = try Lab.current
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            try lab.lookUp(echo)
            let before = try lab.events(.tampered).count
            let packets = try await lab.packets(at: .filer, Self.strangers) {
                try await spawnTrying(lab)
                try lab.shell(change)
                try await lab.event(.tampered)
                try await eventually("lookups are answered again") {
                    try lab.lookUp(echo).result(of: echo.getPort) == .port(4001)
                }
                for server in ["10.77.5.2", "fd77:5::2"] {
                    let answer = try lab.ask(.approved, .null(.v4), to: server, over: .tcp)
                    #expect(answer.body == .success([]), "\(server): \(answer)")
                }
                try lab.kill("trying")
            }
            #expect(packets.isEmpty)
            #expect(Set(lab.log("trying").split(separator: "\n")) == ["silence"])
            #expect(try lab.events(.tampered).count > before)
            #expect(try lab.connect(echo) == "connected")
        }

        @Test(
            "has the table back at once, with every live grant, and logged",
            .gateway(
                .filerRpcbind, .daemon, settings: Filer.settings() + "\nfirewall: {own-table: false}",
                policy: Policies.filerEchoes()),
            arguments: [
                "flush ruleset", "delete table inet rpcwarden", "flush chain inet rpcwarden intercept",
                "flush chain inet rpcwarden forward", "flush chain inet rpcwarden guarded_port_at",
                "delete element inet rpcwarden servers4 { 10.77.5.2 }",
                "delete element inet rpcwarden guarded_at4 { 10.77.5.2 . tcp . 4001 }",
                "flush set inet rpcwarden granted_at4",
                "add element inet rpcwarden granted_at4 { 10.77.4.2 . 10.77.5.2 . tcp . 4001 }",
            ])
        func table(change: String) async throws {
            let lab = try Lab.current
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            try lab.lookUp(echo)
            let grants = try lab.kernelGrants(atFiler: "granted_at4")
            let issued = try lab.grants().map(\.issued)
            let packets = try await lab.packets(at: .filer, Self.strangers) {
                try await spawnTrying(lab)
                #expect(try lab.nft(change).isSuccess)
                try await lab.event(.tampered) { $0.detail?.contains("nft") == true }
                try await lab.event(.restored)
                try lab.kill("trying")
            }
            // Without the table, its chain for forwarded packets, or the server in its set, a moment passes without a
            // guard.
            if !["table inet", "ruleset", "forward", "servers4"].contains(where: change.contains) {
                #expect(packets.isEmpty)
            }
            #expect(try lab.kernelGrants(atFiler: "granted_at4") == grants)
            #expect(try lab.grants().map(\.issued) == issued)
            #expect(try lab.isGuarded(echo))
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.connect(echo, from: .stranger) == "timeout")
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(4001))
            #expect(try lab.ask(.stranger, .null(.v2), to: "10.77.5.2", over: .udp, options: "--wait 300").isSilence)
        }

        @Test(
            "can't change the table, where the kernel lets the daemon own it",
            .gateway(.filerRpcbind, .daemon, policy: Policies.filerEchoes()),
            arguments: ["flush ruleset", "delete table inet rpcwarden", "flush chain inet rpcwarden intercept"])
        func owned(change: String) async throws {
            let lab = try Lab.current
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            try lab.lookUp(echo)
            _ = try lab.nft(change)
            #expect(try lab.isGuarded(echo))
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(4001))
            #expect(try lab.connect(echo) == "connected")
            #expect(try lab.events(.tampered).isEmpty)
        }

        @Test(
            "routing: check: without the administrator's rules calls are dropped, with them they are answered",
            .gateway(
                .filerRpcbind, .daemon,
                settings: Filer.settings().replacingOccurrences(of: "gateway:", with: "gateway:\n  routing: check"),
                policy: Policies.filerEchoes()))
        func administratorsRouting() async throws {
            let lab = try Lab.current
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            let packets = try await lab.packets(at: .filer, "udp port 111") {
                let answer = try lab.lookUp(echo, options: "--wait 1000")
                #expect(answer.isSilence, "\(answer)")
            }
            #expect(packets.isEmpty)
            #expect(try !lab.shell("ip rule").contains("0x20000"))
            try lab.shell("ip rule add fwmark 0x20000/0x20000 lookup 111")
            try lab.shell("ip route add local 10.77.5.2 dev lo table 111")
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(4001))
            #expect(try lab.connect(echo) == "connected")
        }
    }
}
