import Testing

extension LabTests {
    @Suite("A NIS server behind a gateway")
    struct NISAtServerTests {
        private static let policy = """
            clients:
              nis-clients: [10.77.1.0/24]
            rules:
              - name: clients bind and look up
                from: [nis-clients]
                to: [ypserv]
                at: [filer1]
            """

        /// ypserv takes another port below 1024 at each start.
        private func startServer(_ lab: Lab) throws {
            try lab.furnish(.filer)
            try lab.put("nis domain", on: .filer, at: "/etc/defaultdomain")
            for unit in ["rpcbind", "ypserv"] { try lab.systemctl("restart \(unit)", on: .filer) }
            let made = try lab.exec(.filer, "make", "-C", "/var/yp", seconds: 60)
            #expect(made.isSuccess, "\(made)")
        }

        private func startClient(_ lab: Lab) async throws {
            try lab.furnish(.approved)
            try lab.put("nis domain", on: .approved, at: "/etc/defaultdomain")
            try lab.install("domain lab.nis server 10.77.5.2\n", on: .approved, at: "/etc/yp.conf")
            for unit in ["rpcbind", "ypbind"] { try lab.systemctl("restart \(unit)", on: .approved) }
            try await eventually("ypbind has bound", within: .seconds(20)) {
                try lab.exec(.approved, "ypwhich", seconds: 3).text == "10.77.5.2\n"
            }
        }

        private func poll(_ lab: Lab, _ host: Lab.Host) throws -> Output {
            try lab.exec(host, "yppoll", "-h", "10.77.5.2", "-d", "lab.nis", "hosts.byname", seconds: 5)
        }

        @Test(
            "serves its maps to a permitted client, also at another port, and nothing to a stranger",
            .lab(.filer))
        func maps() async throws {
            let lab = try Lab.current
            try startServer(lab)
            try await lab.serve(Filer.settings(), policy: Self.policy)
            try await lab.event(.rpcbindUp) { $0.server == "filer1" }

            #expect(try !poll(lab, .stranger).isSuccess)
            try await lab.event(.denied) { $0.client == "10.77.4.2" && $0.server == "filer1" }
            let polled = try poll(lab, .approved)
            #expect(polled.isSuccess && polled.text.contains("hosts.byname"), "\(polled)")

            try await startClient(lab)
            func expectMap(_ when: Comment) throws {
                let map = try lab.exec(.approved, "ypcat", "hosts.byname", seconds: 20)
                #expect(map.isSuccess && map.text.contains("127.0.0.1 localhost"), "\(when): \(map)")
                let match = try lab.exec(.approved, "ypmatch", "localhost", "hosts.byname", seconds: 20)
                #expect(match.text.hasPrefix("127.0.0.1"), "\(when): \(match)")
            }
            try expectMap("at first")
            let before = try lab.portAtFiler(of: "ypserv", "tcp")
            #expect(try lab.grants().contains { $0.client == "10.77.1.2" && $0.server == "filer1" })
            try lab.expectStrangerGetsNothing(at: [before], of: "10.77.5.2")

            try lab.systemctl("restart ypserv", on: .filer)
            let after = try lab.portAtFiler(of: "ypserv", "tcp")
            #expect(after != before)
            try await eventually("the client is bound again", within: .seconds(60)) {
                try lab.exec(.approved, "ypcat", "hosts.byname", seconds: 20).text.contains("127.0.0.1 localhost")
            }
            try lab.expectStrangerGetsNothing(at: [after], of: "10.77.5.2")
        }
    }
}
