import Testing

extension LabTests {
    @Suite("Registration over loopback, with `local-registration: true`")
    struct LocalSetTests {
        /// Starts the daemon as the package does: under a user that no other process has.
        private static func serve(_ lab: Lab, as user: String = "997") async throws {
            let prepare = """
                install -d -o \(user) /run/rpcwarden && install -m 644 -o \(user) /dev/null \(lab.state)/audit.jsonl
                """
            try #require(try lab.exec(.server, "sh", "-c", prepare).isSuccess)
            let capabilities = "+net_admin,+net_bind_service"
            try await lab.serve(
                "rpcbind: {local-registration: true}", policy: Policies.echoes(),
                through: [
                    "setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps", capabilities,
                    "--ambient-caps", capabilities,
                ])
        }

        /// Registers as oncrpc4j and others do: by a call to 127.0.0.1:111, for an address of either family.
        private static func set(
            _ echo: Echo, _ transport: String, _ version: String, at server: String, _ options: String = ""
        ) -> String {
            let words =
                version == "v2"
                ? "v2 set \(echo.program) 1 tcp \(echo.port)"
                : "v4 set \(echo.program) 1 tcp 0:0:0:0:0:0:0:0.\(echo.port >> 8).\(echo.port & 255) superuser"
            return "call --to \(server) --over \(transport)\(options) \(words)"
        }

        @Test(
            "of root: trusted, guarded, and usable by the approved client alone; withdrawn as it came",
            .lab(.rpcbind),
            arguments: [
                ("tcp", "v2", "127.0.0.1"), ("udp", "v2", "127.0.0.1"), ("tcp", "v4", "127.0.0.1"),
                ("udp", "v4", "127.0.0.1"), ("tcp", "v4", "::1"),
            ])
        func root(transport: String, version: String, server: String) async throws {
            let lab = try Lab.current
            try await Self.serve(lab)
            let echo = Echo(port: 733)
            try await lab.start(echo, isRegistered: false)
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "connected")
            // Over UDP, and from a socket that isn't connected, only a port below 1024 is root's for sure.
            let from = transport == "udp" ? " --source-port 701" : ""
            if transport == "udp" {
                let unproven = try lab.peer(.server, Self.set(echo, transport, version, at: server))
                #expect(unproven.text.contains("auth-error"), "\(unproven)")
            }
            let set = try lab.peer(.server, Self.set(echo, transport, version, at: server, from))
            #expect(set.text.contains("true"), "\(set)")
            try await eventually("it is guarded") { try lab.elements(of: "guarded").contains("tcp . 733") }
            let row = try #require(try lab.registry().first { $0.program == echo.program })
            #expect(row.trusted && row.guarded && row.alive && row.address == "0.0.0.0.2.221", "\(row)")
            #expect(try lab.connect(echo, from: .stranger, to: "10.77.4.1") == "timeout")
            #expect(try lab.connect(echo) == "timeout", "nobody asked yet")
            #expect(try lab.lookUp(echo).result(of: echo.getPort) == .port(733))
            #expect(try lab.connect(echo) == "connected")

            let unset = try lab.peer(
                .server,
                "call --to \(server) --over \(transport)\(from) \(version) unset \(echo.program) 1 tcp"
                    + (version == "v2" ? "" : " 0.0.0.0.0.0 superuser"))
            #expect(unset.text.contains("true"), "\(unset)")
            #expect(try lab.registeredServices().allSatisfy { $0[0] != "\(echo.program)" })
        }

        @Test(
            "of nobody, and from another host, is denied and leaves no mark",
            .lab(.rpcbind), arguments: ["tcp", "udp"])
        func others(transport: String) async throws {
            let lab = try Lab.current
            try await Self.serve(lab)
            let echo = Echo(port: 733)
            let before = try lab.registeredServices()
            for version in ["v2", "v4"] {
                let words = Self.set(echo, transport, version, at: "127.0.0.1").split(separator: " ").map(String.init)
                let local = try lab.exec(
                    .server,
                    ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", lab.peerBinary] + words)
                #expect(local.text.contains("auth-error"), "\(local)")
                let remote = try lab.peer(.approved, Self.set(echo, transport, version, at: "10.77.1.1"))
                #expect(remote.text.contains("auth-error"), "\(remote)")
            }
            try await lab.event(.denied) {
                $0.reason == "remote-registration" && $0.detail == "the socket is of uid 65534"
            }
            #expect(try lab.registeredServices() == before)
        }

        @Test("of root is not trusted where rpcwarden runs as nobody, as others may, and that is told", .lab(.rpcbind))
        func sharedUser() async throws {
            let lab = try Lab.current
            try await Self.serve(lab, as: "65534")
            #expect(lab.log("daemon").contains("rpcbind.local-registration"), "\(lab.log("daemon"))")
            let echo = Echo(port: 733)
            try await lab.start(echo, isRegistered: false)
            let set = try lab.peer(.server, Self.set(echo, "tcp", "v2", at: "127.0.0.1"))
            #expect(set.text.contains("true"), "\(set)")
            try await lab.event(.untrustedRegistration) { $0.program == echo.program }
            #expect(try !lab.elements(of: "guarded").contains("tcp . 733"))
        }
    }
}
