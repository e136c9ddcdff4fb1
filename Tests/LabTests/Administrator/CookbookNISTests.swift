import Testing

extension LabTests {
    @Suite("docs/COOKBOOK.md: NIS")
    struct CookbookNISTests {
        private func bind(_ lab: Lab) async throws {
            try await eventually("ypbind has bound") {
                try lab.exec(.approved, "ypwhich", seconds: 3).text == "10.77.1.1\n"
            }
        }

        @Test("a client binds, reads maps, and goes on when ypserv has another port; a broadcast finds nothing", .lab())
        func nis() async throws {
            let lab = try Lab.current
            for host in [Lab.Host.server, .approved] {
                try lab.furnish(host)
                try lab.put("nis domain", on: host, at: "/etc/defaultdomain")
            }
            try lab.setUp()
            try lab.put("nis policy")
            try lab.runs("nis commands")

            try lab.put("nis yp.conf", on: .approved)
            try lab.runs("nis client commands", on: .approved)
            try await bind(lab)
            let seen = try lab.runs("nis client", on: .approved)
            #expect(seen.contains("127.0.0.1 localhost") && seen.contains("passwd.byname"), "\(seen)")

            let before = try lab.port(of: 100_004, 2, "tcp")
            try lab.systemctl("restart ypserv")
            let after = try lab.port(of: 100_004, 2, "tcp")
            #expect(after != before)
            #expect(try lab.runs("nis client", on: .approved).contains("127.0.0.1 localhost"))
            try lab.expectStrangerGetsNothing(at: [after])
            #expect(try lab.events(.denied).allSatisfy { $0.client == "10.77.4.2" })

            try lab.install("domain lab.nis broadcast\n", on: .approved, at: "/etc/yp.conf")
            try lab.systemctl("restart ypbind", on: .approved)
            try await lab.event(.denied) { $0.reason == "broadcast" && $0.procedure == "callit" }
            #expect(try !lab.exec(.approved, "ypwhich", seconds: 3).isSuccess)
        }
    }
}
