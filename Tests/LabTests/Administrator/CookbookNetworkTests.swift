import Portmapper
import Testing

extension LabTests {
    @Suite("docs/COOKBOOK.md: addresses")
    struct CookbookNetworkTests {
        @Test("a multihomed server answers inside, nobody outside, and believes no inside address from outside", .lab())
        func multihomed() async throws {
            let lab = try Lab.current
            try lab.furnish()
            try lab.setUp()
            try lab.systemctl("restart nfs-mountd")
            try lab.put("multihomed sources")
            try lab.put("multihomed settings", adding: lab.auditSettings)
            try lab.put("multihomed policy")
            try lab.runs("multihomed commands")

            let seen = try lab.runs("multihomed client", on: .approved)
            #expect(seen.matches(of: /ready and waiting/).count == 3, "\(seen)")

            let outcome = try lab.peer(.stranger, "connect --to 10.77.4.1 --port 111 --over tcp")
            #expect(outcome.text == "refused\n", "nobody listens there")
            try lab.expectStrangerGetsNothing(at: [lab.port(of: 100_005, 3, "tcp")], of: "10.77.1.1")

            let route = try lab.exec(.stranger, "ip", "route", "add", "local", "10.77.1.77", "dev", "lo")
            #expect(route.isSuccess, "\(route)")
            func forge() throws -> Answer {
                let lookup = PortmapperCall.getPort(Mapping(program: .mountd, version: 3, protocolNumber: 6, port: 0))
                return try lab.ask(
                    .stranger, lookup, to: "10.77.1.1", over: .udp, options: "--from 10.77.1.77 --wait 300")
            }
            #expect(try forge().isSilence)
            #expect(try lab.events().allSatisfy { $0.client != "10.77.1.77" })
            try lab.shell("nft delete table inet rpc_sources")
            _ = try forge()
            try await lab.event(.granted) { $0.client == "10.77.1.77" }
        }

        private func holder(_ lab: Lab) throws -> Lab.Host? {
            let holders = try [Lab.Host.server, .spare].filter {
                try lab.exec($0, "ip", "-brief", "address", "show", "ha0").text.contains("10.77.8.100/24")
            }
            return holders.count == 1 ? holders[0] : nil
        }

        @Test("an HA pair: when rpcwarden ends on one node, the address moves, and clients go on at the other", .lab())
        func pair() async throws {
            let lab = try Lab.current
            try lab.control("spare")
            for node in [Lab.Host.server, .spare] {
                try lab.furnish(node)
                _ = try lab.exec(node, "sh", "-c", "mkdir -p /srv/nfs; echo hello >/srv/nfs/hello.txt")
                try lab.setUp(node)
                try lab.put("ganesha conf", on: node)
                try lab.put("ha policy", on: node)
                try lab.put("ha keepalived", on: node)
                try lab.runs("ha commands", on: node)
            }
            let first = try await eventually("one node has the address") { try holder(lab) }
            let second = first == .server ? Lab.Host.spare : .server
            #expect(try lab.runs("ha client", on: .approved).contains("hello.txt"))
            // One byte a round: fewer bytes than a record's header, so that ganesha waits for more.
            try lab.spawnPeer(
                .approved, "flow",
                "connect --to 10.77.8.100 --port 2049 --over tcp --send x --repeat 3 --every 6000 --wait 100")
            try await eventually("the flow is up") { lab.log("flow").contains("connected") }

            try lab.runs("ha failover", on: first)
            try await eventually("the address has moved") { try holder(lab) == second }
            // Before the client sends any call to the new node.
            try await eventually("the new node resets the old flow") {
                lab.log("flow").contains("closed")
            }
            #expect(try lab.runs("ha client", on: .approved).contains("hello.txt"))
            // The guard of the node whose daemon has ended.
            let guarded = try lab.exec(first, "nft", "list", "set", "inet", "rpcwarden", "guarded").text
            #expect(guarded.contains("tcp . 2049"), "\(guarded)")
        }
    }
}
