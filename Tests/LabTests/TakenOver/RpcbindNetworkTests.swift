import Testing

extension LabTests {
    @Suite("rpcbind behind rpcwarden", .lab(.rpcbind, .statd, .daemon))
    struct RpcbindNetworkTests {
        @Test("is in no network of this host: nobody comes to its ports, and it comes to nobody")
        func network() throws {
            let lab = try Lab.current
            let there = try lab.exec(.rpcbind, "ss", "-Hlntu", "sport = :111").lines
            #expect(there.count == 4, "\(there)")
            #expect(try lab.exec(.rpcbind, "ip", "-o", "link").lines.count == 1, "loopback alone")
            let here = try lab.exec(.server, "ss", "-Hlntup", "sport = :111 or sport = :1111").lines
            #expect(here.count == 4 && here.allSatisfy { $0.contains("rpcwarden") }, "\(here)")
            #expect(try !lab.exec(.rpcbind, "rpcinfo", "-T", "udp", "10.77.1.1", "status", "1", seconds: 3).isSuccess)
        }

        @Test("serves this host's services through its socket, and a restart keeps what is registered")
        func restart() throws {
            let lab = try Lab.current
            let before = try lab.registeredServices()
            #expect(before.filter { $0[0] == "100024" }.count == 4)
            try lab.control("rpcbind", "restart")
            #expect(try lab.registeredServices() == before)
        }
    }
}
