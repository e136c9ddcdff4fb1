import Testing

extension LabTests {
    @Suite("docs/COOKBOOK.md: an NFS server")
    struct CookbookNFSTests {
        @Test("with the kernel's nfsd, but for nfsd itself: mountd and statd are real", .lab())
        func nfsd() async throws {
            let lab = try Lab.current
            try lab.furnish()
            try lab.shell("mkdir -p /srv/nfs")
            try lab.setUp()
            // Stands in for the kernel's nfsd.
            try await lab.start(Echo(program: 100_003, port: 2049))
            try lab.put("nfsd exports")
            try lab.put("nfsd policy")
            try lab.runs("nfsd commands")

            try await eventually("the services are in the registry") {
                let registry = try lab.runs("nfsd look")
                return registry.contains("mountd (100005)") && registry.contains("status (100024)")
            }
            try expectMounts(lab)
            #expect(try lab.peer(.approved, "connect --to 10.77.1.1 --port 2049 --over tcp").text == "connected\n")

            let before = try lab.port(of: 100_005, 3, "tcp")
            try lab.systemctl("restart nfs-mountd")
            #expect(try lab.port(of: 100_005, 3, "tcp") != before)
            try expectMounts(lab)
            try lab.expectStrangerGetsNothing(at: [2049, lab.port(of: 100_005, 3, "tcp")])
        }

        private func expectMounts(_ lab: Lab) throws {
            let seen = try lab.runs("nfsd client", on: .approved)
            #expect(seen.contains("/srv/nfs 10.77.1.0/24"), "\(seen)")
            #expect(seen.matches(of: /ready and waiting/).count == 2, "\(seen)")
        }

        @Test("with nfs-ganesha: its clients read over NFSv3 and v4, also after it restarted at other ports", .lab())
        func ganesha() async throws {
            let lab = try Lab.current
            try lab.furnish()
            try lab.shell("mkdir -p /srv/nfs; echo hello >/srv/nfs/hello.txt")
            try lab.setUp()
            try lab.put("ganesha conf")
            try lab.put("ganesha policy")
            try lab.runs("ganesha commands")

            func expectReads() throws {
                let seen = try lab.runs("ganesha client", on: .approved)
                #expect(seen.contains("hello.txt") && seen.matches(of: /hello\n/).count == 2, "\(seen)")
                #expect(seen.contains("/export"), "\(seen)")
            }
            try expectReads()
            let look = try lab.runs("ganesha look")
            #expect(look.contains("mountd") && look.contains("10.77.1.2 . tcp . "), "\(look)")
            #expect(look.contains("10.77.1.0/24 . tcp . 2049"), "\(look)")
            let dump = try lab.ask(.approved, .dump(.v2), over: .tcp, options: "--from 10.77.1.3")
            #expect(dump.result(of: .dump(.v2)) != nil, "administrators list: \(dump)")
            #expect(try lab.ask(.approved, .dump(.v2), over: .tcp).body == .authError(.failed), "others don't")

            let before = try lab.port(of: 100_005, 3, "tcp")
            try lab.systemctl("restart nfs-ganesha")
            #expect(try lab.port(of: 100_005, 3, "tcp") != before)
            try expectReads()
            try lab.expectStrangerGetsNothing(at: [2049, lab.port(of: 100_005, 3, "tcp")])
        }
    }
}

extension Lab {
    /// A stranger gets no answer, neither from the portmapper nor at these ports.
    func expectStrangerGetsNothing(at ports: [UInt16], of server: String = "10.77.4.1") throws {
        #expect(try ask(.stranger, .null(.v2), to: server, over: .tcp).isClosedWithoutByte)
        for port in ports {
            let outcome = try peer(.stranger, "connect --to \(server) --port \(port) --over tcp --wait 300")
            #expect(outcome.text == "timeout\n", "\(port)")
        }
    }
}
