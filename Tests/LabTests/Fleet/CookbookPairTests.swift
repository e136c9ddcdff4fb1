import Foundation
import Testing

extension LabTests {
    @Suite("docs/COOKBOOK.md: grants that outlive a failover")
    struct CookbookPairTests {
        private static let nodes = [Lab.Host.server, .spare]
        private static let address = "10.77.8.100"

        private func name(_ node: Lab.Host) -> String { node == .server ? "nas1" : "nas2" }

        /// The store, and two nodes as the chapter makes them.
        private func prepare(_ lab: Lab) async throws {
            try lab.control("spare")
            try lab.furnish(.approved)
            try lab.put("store settings", on: .approved)
            try lab.runs("store certificates", on: .approved)
            try lab.runs("store users", on: .approved)
            for node in Self.nodes {
                try lab.furnish(node)
                try lab.setUp(node)
                _ = try lab.exec(node, "sh", "-c", "mkdir -p /srv/nfs; echo hello >/srv/nfs/hello.txt")
                try lab.put("ganesha conf", on: node)
                try lab.put("outlive policy", on: node)
                try lab.put("outlive settings", on: node, adding: audit(lab, node))
                try lab.put("outlive in step", on: node)
                try lab.copy("/etc/etcd/ca.pem", from: .approved, to: "/etc/rpcwarden/fleet/ca.pem", on: node)
                try lab.copy(
                    "/etc/etcd/\(name(node)).password", from: .approved, to: "/etc/rpcwarden/fleet/password", on: node)
                try put(lab, Recipe("outlive fleet"), on: node, "nas1", name(node))
                let priority = "priority \(fullPriority(node))"
                try put(lab, Recipe("outlive keepalived"), on: node, "priority 150", priority)
                #expect(try lab.runs("outlive commands", on: node).matches(of: /no problems/).count == 2)
            }
            for node in Self.nodes {
                try await eventually("\(node) is in step") { try isSynced(lab, node) }
            }
        }

        private func audit(_ lab: Lab, _ node: Lab.Host) -> String {
            "audit: {to: file, file: \(lab.state)/audit-\(node).jsonl}\n"
        }

        /// The block, with what is another on this node.
        private func put(_ lab: Lab, _ recipe: Recipe, on node: Lab.Host, _ text: String, _ other: String) throws {
            try #require(recipe.text.contains(text))
            try lab.install(recipe.text.replacing(text, with: other) + "\n", on: node, at: recipe.path)
        }

        private func isSynced(_ lab: Lab, _ node: Lab.Host) throws -> Bool {
            try lab.exec(node, "rpcwarden-fleet", "status", "--synced").isSuccess
        }

        private func hasAddress(_ lab: Lab, _ node: Lab.Host) throws -> Bool {
            try lab.exec(node, "ip", "-brief", "address", "show", "dev", "ha0").text.contains("\(Self.address)/")
        }

        private func awaitAddress(_ lab: Lab, at node: Lab.Host) async throws {
            try await eventually("the address is at \(name(node))", within: .seconds(60)) {
                try Self.nodes.allSatisfy { try hasAddress(lab, $0) == ($0 == node) }
            }
        }

        /// Keepalived's priority of a node that is in step.
        private func fullPriority(_ node: Lab.Host) -> Int { node == .server ? 150 : 100 }

        /// The priority that keepalived tells the other node.
        private func priority(_ lab: Lab, _ node: Lab.Host) -> Int {
            let changes = lab.log("\(node)-keepalived").matches(of: /Changing effective priority from \d+ to (\d+)/)
            return changes.last.flatMap { Int($0.1) } ?? fullPriority(node)
        }

        /// The port of a program at a node, over TCP.
        private func port(_ lab: Lab, of program: String, at node: Lab.Host) throws -> UInt16 {
            let lines = try lab.exec(node, "rpcinfo", seconds: 5).lines
                .map { $0.split(separator: " ", omittingEmptySubsequences: true) }
            let found = try #require(lines.first { $0.count > 4 && $0[2] == "tcp" && $0[4] == program })
            let parts = found[3].split(separator: ".").suffix(2).compactMap { UInt16($0) }
            return parts[0] << 8 | parts[1]
        }

        private func connect(_ lab: Lab, _ port: UInt16, from source: String = "10.77.8.2") throws -> String {
            try lab.peer(
                .approved, "connect --to \(Self.address) --port \(port) --over tcp --from \(source) --wait 1000"
            ).lines.first ?? ""
        }

        private func permitted(_ lab: Lab, _ node: Lab.Host) -> Int {
            let text = FileManager.default.contents(atPath: "\(lab.state)/audit-\(node).jsonl") ?? Data()
            return String(decoding: text, as: UTF8.self).matches(of: /"event":"permitted"/).count
        }

        @Test(
            "a client goes on at the other node without a look-up; a node takes its address back only in step", .lab())
        func pair() async throws {
            let lab = try Lab.current
            try await prepare(lab)
            try await awaitAddress(lab, at: .server)
            #expect(try lab.runs("outlive client", on: .approved).contains("hello.txt"))
            try await eventually("the grants are at nas2") {
                try lab.runs("outlive look", on: .spare).contains(" copy ")
            }
            let look = try lab.runs("outlive look", on: .spare)
            #expect(
                look.contains("nas1") && look.contains("nas2") && look.contains("This host is in the fleet "), "\(look)"
            )
            let grants = try lab.exec(.spare, "rpcwarden", "grants").text
            #expect(grants.contains(/10\.77\.8\.2 .*\(from nas1\)/), "\(grants)")

            // The store is away: the address stays where it is.
            for node in Self.nodes {
                try await eventually("keepalived knows that \(node) is in step") {
                    priority(lab, node) == fullPriority(node)
                }
            }
            try lab.systemctl("stop etcd", on: .approved)
            for node in Self.nodes {
                try await eventually("\(node) has lost the store") { try !isSynced(lab, node) }
            }
            try await eventually("nas2 comes after nas1, as before") { priority(lab, .spare) == 40 }
            #expect(try hasAddress(lab, .server) && priority(lab, .server) == fullPriority(.server))

            try lab.runs("outlive failover", on: .server)
            try await awaitAddress(lab, at: .spare)
            _ = try lab.exec(.approved, "ip", "neigh", "flush", "dev", "ha0")
            for program in ["mountd", "nfs"] {
                #expect(try connect(lab, port(lab, of: program, at: .spare)) == "connected", "\(program)")
            }
            #expect(permitted(lab, .spare) == 0)
            // A client of the same rule that has not asked.
            _ = try lab.exec(.approved, "ip", "address", "add", "10.77.8.3/24", "dev", "ha0")
            #expect(try connect(lab, port(lab, of: "mountd", at: .spare), from: "10.77.8.3") == "timeout")

            // It returns, and is not in step without its sidecar.
            try lab.systemctl("start etcd", on: .approved)
            try await eventually("nas2 is in step") { try isSynced(lab, .spare) }
            try lab.systemctl("stop rpcwarden-fleet")
            try lab.systemctl("start rpcwarden")
            try await eventually("nas1 comes after nas2") { priority(lab, .server) == 90 }
            #expect(try hasAddress(lab, .spare))
            try lab.systemctl("start rpcwarden-fleet")
            try await awaitAddress(lab, at: .server)
            #expect(try isSynced(lab, .server))
        }
    }
}

extension Lab {
    /// As an administrator does by ssh.
    func copy(_ path: String, from host: Host, to other: String, on node: Host) throws {
        let output = try exec(host, "cat", path)
        guard output.isSuccess else { throw CommandError(command: ["cat", path], output: output) }
        try install(output.text, on: node, at: other)
    }
}
