import Testing

extension LabTests {
    @Suite("docs/COOKBOOK.md: one policy for many servers")
    struct CookbookFleetTests {
        @Test("is signed, verified, within the ceiling, and in force; stages have groups of their own", .lab())
        func fleet() async throws {
            let lab = try Lab.current
            try lab.furnish()
            try lab.setUp()
            try lab.put("fleet policy")
            #expect(try lab.runs("fleet publisher").contains("fleet lab, group nfs, serial 1"))
            try lab.runs("fleet files")
            try lab.put("fleet ceiling")
            try lab.put("fleet configuration", adding: lab.auditSettings)
            #expect(try lab.runs("fleet commands").contains("no problems"))
            try await eventually("it is ready") { try lab.exec(.server, "rpcwarden", "status").isSuccess }
            let seen = try lab.runs("fleet look")
            #expect(seen.contains("serial 1 of group nfs"), "\(seen)")
            #expect(seen.contains("nfs.bundle:policy.yaml:5 \"workstations use NFS\""), "\(seen)")

            #expect(try lab.runs("fleet stages").contains("group canary, serial 2"))
            try lab.runs("fleet files")
            #expect(try lab.exec(.server, "rpcwarden", "reload").isSuccess)
            #expect(try lab.runs("fleet look").contains("serial 2 of group nfs"))
        }
    }
}
