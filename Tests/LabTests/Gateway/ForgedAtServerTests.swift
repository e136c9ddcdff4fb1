import ONCRPC
import Portmapper
import Testing

extension LabTests {
    @Suite(
        "A datagram with a forged source, to a server's port 111",
        .gateway(
            .filerRpcbind, .filerGanesha, .rpcbind, .daemon, settings: Filer.settings() + "\nquarantine: false"))
    struct ForgedAtServerTests {
        let lab: Lab

        init() throws { lab = try Lab.current }

        /// Has the kernel take sources of this host and of its loopback from outside, as some routers are set.
        private func acceptSources() throws {
            try lab.shell(
                """
                for device in all to-stranger4 lo; do
                  echo 1 >/proc/sys/net/ipv4/conf/$device/accept_local
                  echo 1 >/proc/sys/net/ipv4/conf/$device/route_localnet
                done
                """)
        }

        /// Counts what leaves this host from port 111, whoever would receive it.
        private func countReplies() throws {
            try lab.write(
                """
                table inet seen {
                  chain output {
                    type filter hook output priority -400;
                    udp sport 111 counter
                  }
                }
                """, to: "seen.nft")
            try lab.shell("nft -f \(lab.state)/seen.nft")
        }

        private func replies() throws -> Int {
            try lab.nft("list table inet seen").text.firstMatch(of: /packets (\d+)/).flatMap { Int($0.1) } ?? -1
        }

        @Test(
            "is a stranger's, whatever host it claims to be of, and is answered to nobody",
            arguments: [
                // Of the server, which reach the daemon; the kernel's filter drops the others.
                ("10.77.5.2", "10.77.5.2", true), ("10.77.5.9", "10.77.5.2", true),
                ("fd77:5::2", "fd77:5::2", true), ("10.77.5.1", "10.77.5.2", false),
                ("10.77.1.1", "10.77.5.2", false), ("10.77.4.1", "10.77.5.9", false),
                ("127.0.0.1", "10.77.5.2", false), ("fd77:5::1", "fd77:5::2", false),
                ("fd77:4::1", "fd77:5::9", false), ("::1", "fd77:5::2", false),
            ])
        func stranger(source: String, server: String, isJudged: Bool) async throws {
            try acceptSources()
            try countReplies()
            let packets = try await lab.packets(at: .filer, "udp port 111") {
                for call in [PortmapperCall.null(.v2), .dump(.v4), .getPort(.mountd)] {
                    // The source port 111 would make two portmappers answer each other.
                    for port in [700, 111] {
                        let message = hex(call.encoded(xid: .random))
                        let output = try lab.exec(
                            .stranger, "perl", Lab.path("scripts/lab.d/forge.pl"), source, "\(port)", server, "111",
                            message)
                        #expect(output.isSuccess, "\(output)")
                    }
                }
                // A later datagram to the same socket: the others have been read.
                let port = Int.random(in: 2000...60_000)
                #expect(
                    try lab.ask(
                        .stranger, .null(.v2), to: server, over: .udp, options: "--wait 100 --source-port \(port)"
                    ).isSilence)
                try await lab.event(.denied) { $0.reason == "stranger" && $0.port.map(Int.init) == port }
            }
            #expect(try replies() == 0)
            #expect(packets.isEmpty)
            let events = try lab.events().filter { $0.client == source }
            #expect(events.allSatisfy { $0.event == .denied && $0.reason == "stranger" && $0.server == "filer1" })
            #expect(events.count == (isJudged ? 6 : 0))
            #expect(try lab.elements(of: "granted_at4").isEmpty && lab.elements(of: "granted_at6").isEmpty)
            // A reply to a client that a rule names is counted.
            let address = server.contains(":") ? "fd77:5::2" : "10.77.5.2"
            #expect(try lab.ask(.approved, .null(.v2), to: address, over: .udp).body == .success([]))
            #expect(try replies() == 1)
            try lab.shell("nft delete table inet seen")
        }
    }
}

extension Mapping {
    fileprivate static let mountd = Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 0)
}
