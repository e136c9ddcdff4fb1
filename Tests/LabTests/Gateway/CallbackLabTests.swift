import Foundation
import Testing

extension LabTests {
    @Suite("A server that calls its client back through a gateway that drops by default")
    struct CallbackLabTests {
        /// Each test changes the lab, and has one of its own.
        private var lab: Lab {
            get throws { try Lab.current }
        }

        private static let otherTable = """
            table inet other {
              chain forward {
                type filter hook forward priority filter; policy drop;
                ct state established,related accept
                meta mark and 0x2000 != 0 accept
              }
            }
            """

        private static let policy = """
            rules:
              - name: lock
                from: [10.77.1.2, "fd77:1::2"]
                to: [nlockmgr, status]
                at: [filer1]
            """

        /// A line of statd's: its caller's address, program, version and procedure, a cookie, and the names.
        private static let monitored =
            "0100007f 000186b5 00000003 00000010 00000000000000000000000000000000 10.77.1.2 filer"

        private static func settings(callbacks: String) -> String {
            """
            gateway:
              servers:
                - name: filer1
                  address: [10.77.5.2, 10.77.5.9, "fd77:5::2", "fd77:5::9"]
                  callbacks: \(callbacks)
            """
        }

        /// The gateway, and a client with rpcbind and statd, which has nlockmgr registered.
        private func start(callbacks: String) async throws {
            let lab = try lab
            try lab.control("filer")
            try lab.control("filer", "rpcbind", "start")
            try lab.write(Self.otherTable, to: "other.nft")
            try lab.control("exec", "server", "--", "nft", "-f", "\(lab.state)/other.nft")
            try await lab.serve(Self.settings(callbacks: callbacks), policy: Self.policy)
            try lab.control("furnish", "approved", lab.binary)
            try lab.spawn(.approved, "client-rpcbind", ["rpcbind", "-f", "-w"])
            try await eventually("the client's rpcbind answers") { try registers("100021 4 tcp 4045") }
            try lab.spawn(
                .approved, "client-statd", ["rpc.statd", "--foreground", "--no-syslog", "--no-notify"])
            try await eventually("the client's statd is registered") {
                try lab.exec(.approved, "rpcinfo", "-T", "udp", "127.0.0.1", "100024").isSuccess
            }
            try await eventually("the server's portmapper has answered") {
                try !lab.elements(of: "guarded_at4").isEmpty || lab.elements(of: "closed_at4").count > 1
            }
        }

        private func registers(_ mapping: String) throws -> Bool {
            try lab.peer(.approved, "call --to 127.0.0.1 --over udp --wait 500 v2 set \(mapping)").text.contains("true")
        }

        private func asks(_ words: String, to address: String = "10.77.1.2") throws -> String {
            let lab = try lab
            return try run(
                [Lab.path("scripts/lab"), "exec", "filer", "--", lab.peerBinary, "call", "--to", address]
                    + words.split(separator: " ").map(String.init), environment: ["LAB": lab.name]
            ).text
        }

        /// Has the server's sm-notify tell the client's statd of a reboot.
        private func notify(seconds: Int) throws -> Bool {
            let lab = try lab
            let folder = "\(lab.state)/sm"
            try lab.control(
                "exec", "filer", "--", "sh", "-ec",
                """
                rm -rf \(folder); mkdir -p \(folder)/sm \(folder)/sm.bak
                echo \(Self.monitored) >\(folder)/sm/10.77.1.2
                chown -R statd \(folder)
                timeout \(seconds) sm-notify -d -f -P \(folder) || :  # -d: in the foreground
                """)
            return try FileManager.default.contentsOfDirectory(atPath: "\(folder)/sm.bak").isEmpty
        }

        @Test("sm-notify gets through to the client's statd, and lockd learns the client's nlockmgr", .lab())
        func callsBack() async throws {
            let lab = try lab
            try await start(callbacks: "auto")
            #expect(try notify(seconds: 12))
            let granted = try await lab.event(.granted) { $0.rule == "callbacks of filer1" }
            #expect(granted.client == "10.77.1.2")
            for over in ["tcp", "udp"] {
                #expect(try asks("--over \(over) --wait 2000 v2 getport 100021 4 tcp").contains("4045"))
            }
            #expect(try lab.elements(of: "granted_at4").contains { $0.contains("10.77.1.2 . tcp . 4045") })
            let six = try asks("--over udp --wait 2000 v4 getaddr 100024 1 udp6", to: "fd77:1::2")
            #expect(six.contains("fd77:1::2"), "\(six)")
            #expect(try !lab.elements(of: "granted_at6").isEmpty)
            #expect(try !asks("--over udp --wait 500 v2 getport 100005 3 tcp").contains("success"))
            try await lab.event(.denied) { $0.rule == "callbacks of filer1" && $0.client == "10.77.1.2" }
        }

        @Test("without callbacks it doesn't", .lab())
        func withoutCallbacks() async throws {
            let lab = try lab
            try await start(callbacks: "off")
            #expect(try !notify(seconds: 8))
            #expect(try asks("--over udp --wait 1000 v2 getport 100024 1 udp").contains("silence"))
            #expect(try lab.elements(of: "callers4").isEmpty)
        }

        @Test("a call to the portmapper of a host that no rule names is forwarded like any other packet", .lab())
        func strangersPortmapper() async throws {
            let lab = try lab
            try await start(callbacks: "auto")
            try lab.control("exec", "server", "--", "nft", "delete", "table", "inet", "other")
            try lab.spawnPeer(.stranger, "listener", "listen --at 10.77.4.2 --port 111 --over udp")
            try await eventually("the stranger listens") { lab.log("listener").contains("listening") }
            _ = try asks("--over udp --wait 1000 v2 getport 100024 1 udp", to: "10.77.4.2")
            try await eventually("the packet has come") { lab.log("listener").contains("datagram from 10.77.5") }
            #expect(try lab.events(.denied).isEmpty && lab.events(.permitted).isEmpty)
        }
    }
}
