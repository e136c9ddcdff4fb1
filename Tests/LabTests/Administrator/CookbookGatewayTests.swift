import Testing

extension LabTests {
    @Suite("docs/COOKBOOK.md: a gateway")
    struct CookbookGatewayTests {
        /// A gateway with the chapter's settings and policy, in a furnished server.
        private func prepare(_ lab: Lab) async throws {
            try lab.furnish()
            try lab.shell("sysctl -w net.ipv4.ip_forward=0")
            try lab.put("nas settings", adding: lab.auditSettings)
            try lab.put("nas policy")
            try lab.runs("nas commands")
            try await eventually("the NAS has been read") {
                try lab.runs("nas look").contains("mountd (100005)")
            }
        }

        private func expectOnlyApproved(_ lab: Lab) throws {
            let seen = try lab.runs("nas client", on: .approved)
            #expect(seen.contains("/export") && seen.contains("ready and waiting"), "\(seen)")
            #expect(seen.contains("hello.txt") && seen.contains("hello from rpcwarden"), "\(seen)")
            let ports = [2049, try lab.portAtFiler(of: "mountd", "tcp")]
            try lab.expectStrangerGetsNothing(at: ports, of: "10.77.5.2")
        }

        @Test(
            "a NAS behind a gateway: a client mounts, asks and reads, a stranger gets nothing",
            .lab(.filer, .filerRpcbind, .filerGanesha, .filerStatd))
        func nas() async throws {
            let lab = try Lab.current
            try await prepare(lab)
            let look = try lab.runs("nas look")
            #expect(look.contains(/server nas +reachable/) && look.contains("permitted"), "\(look)")
            try expectOnlyApproved(lab)
        }

        @Test(
            "beside a default-drop ruleset: the two rules by the mark let clients through, and both are needed",
            .lab(.filer, .filerRpcbind, .filerGanesha, .filerStatd))
        func site() async throws {
            let lab = try Lab.current
            try await prepare(lab)
            try lab.put("gateway site")
            try lab.runs("gateway site commands")
            try expectOnlyApproved(lab)

            let recipe = try Recipe("gateway site")
            let mark = "meta mark and 0x2000 != 0 accept"
            for (hook, other) in [("input", "        # granted"), ("forward", "        # calls to")] {
                try lab.shell("nft delete table inet site")
                // One of the two lines goes.
                let kept = recipe.text.split(separator: "\n", omittingEmptySubsequences: false)
                    .filter { !$0.contains(mark) || $0.contains(other) }
                try lab.install(kept.joined(separator: "\n") + "\n", at: recipe.path)
                try lab.runs("gateway site commands")
                let answer = try lab.ask(.approved, .null(.v2), to: "10.77.5.2", over: .udp, options: "--wait 500")
                #expect(answer.isSilence == (hook == "input"), "\(hook): \(answer)")
                let outcome = try lab.peer(
                    .approved, "connect --to 10.77.5.2 --port 2049 --over tcp --from 10.77.1.3 --wait 500")
                #expect(outcome.text == (hook == "forward" ? "timeout\n" : "connected\n"), "\(hook)")
            }
        }
    }

    @Suite("docs/COOKBOOK.md: a pair of gateways")
    struct CookbookGatewayPairTests {
        private static let nodes = [Lab.Host.server, .spare]
        /// Opened at a look-up, as mountd is.
        private static let echo = Echo(host: .filer)
        /// Open always, as nfs is.
        private static let standing = Echo(program: Echo.programs[1], port: 4002, host: .filer)
        /// The policy's last lines are a rule.
        private static let rules = """
              - {name: a look-up opens, from: [workstations], to: [\(echo.program)], at: [any-server]}
              - {name: open always, from: [workstations], to: [\(standing.program)], at: [any-server], open: always}

            """

        private func other(_ node: Lab.Host) -> Lab.Host { node == .server ? .spare : .server }

        private func hasAddresses(_ lab: Lab, _ node: Lab.Host) throws -> Bool {
            let text = try lab.exec(node, "ip", "-brief", "address", "show", "up").text
            return text.contains("10.77.8.1/24") && text.contains("10.77.5.1/24")
        }

        private func holder(_ lab: Lab) throws -> Lab.Host? {
            let holders = try Self.nodes.filter { try hasAddresses(lab, $0) }
            return holders.count == 1 ? holders[0] : nil
        }

        private func prepare(_ lab: Lab) async throws {
            try lab.control("pair")
            try lab.control("filer", "rpcbind", "start")
            try lab.control("filer", "ganesha", "start")
            for echo in [Self.echo, Self.standing] { try await lab.start(echo) }
            for node in Self.nodes {
                try lab.furnish(node)
                let audit = "audit: {to: file, file: \(lab.state)/audit-\(node).jsonl}\n"
                try lab.put("pair settings", on: node, adding: audit)
                try lab.put("pair policy", on: node, adding: Self.rules)
                try lab.put("pair keepalived", on: node)
            }
        }

        private func putConntrackd(_ lab: Lab) throws {
            let recipe = try Recipe("pair conntrackd")
            try lab.install(recipe.text + "\n", on: .server, at: recipe.path)
            let own = "UDP {\n    IPv4_address 10.77.9."
            let other = "IPv4_Destination_Address 10.77.9."
            let swapped = recipe.text.replacingOccurrences(of: own + "1", with: own + "2")
                .replacingOccurrences(of: other + "2", with: other + "1")
            try #require(swapped != recipe.text)
            try lab.install(swapped + "\n", on: .spare, at: recipe.path)
        }

        private func awaitGuard(_ lab: Lab) async throws {
            for node in Self.nodes {
                try await eventually("\(node) guards the services") {
                    let set = try lab.exec(node, "nft", "list", "set", "inet", "rpcwarden", "guarded_at4").text
                    return [2049, 4001, 4002].allSatisfy { set.contains("10.77.5.2 . tcp . \($0)") }
                }
            }
        }

        /// A flow that sends and hears something each 100 ms, and waits long for what is late.
        private func spawnFlow(_ lab: Lab, _ name: String, to echo: Echo) async throws {
            try lab.spawnPeer(
                .approved, name,
                "connect --to 10.77.5.2 --port \(echo.port) --over tcp --send ping --repeat 100000 --every 100"
                    + " --wait 60000")
            try await eventually("\(name) flows") { received(lab, name) > 0 }
        }

        private func received(_ lab: Lab, _ name: String) -> Int { lab.log(name).matches(of: /received/).count }

        private func expectGoesOn(_ lab: Lab, _ name: String, _ when: String) async throws {
            let before = received(lab, name)
            try await eventually("\(name) goes on \(when)", within: .seconds(30)) {
                let log = lab.log(name)
                if log.contains("closed") || log.contains("silence") {
                    throw Unfulfilled(description: "\(name) has ended \(when): \(log.suffix(200))")
                }
                return received(lab, name) > before + 3
            }
        }

        private func awaitCopied(_ lab: Lab, to node: Lab.Host) async throws {
            try await eventually("the flow is known to \(node)", within: .seconds(15)) {
                try lab.exec(node, "conntrackd", "-e").text
                    .contains(/ESTABLISHED src=10.77.8.2 dst=10.77.5.2 .*dport=4001 .*mark=536870912/)
            }
        }

        private func grants(_ lab: Lab, _ node: Lab.Host) throws -> String {
            try lab.exec(node, "nft", "list", "set", "inet", "rpcwarden", "granted_at4").text
        }

        private func expectLookupOpens(_ lab: Lab, at node: Lab.Host) async throws {
            let client = "--from 10.77.8.2"
            #expect(try !grants(lab, node).contains("10.77.8.2 . 10.77.5.2 . tcp . 4001"))
            #expect(try lab.connect(Self.echo, options: client + " --wait 500") == "timeout", "no grant yet")
            #expect(try lab.lookUp(Self.echo, options: client).result(of: Self.echo.getPort) == .port(4001))
            #expect(try grants(lab, node).contains("10.77.8.2 . 10.77.5.2 . tcp . 4001"))
            #expect(try lab.connect(Self.echo, options: client) == "connected")
            let seen = try lab.runs("pair client", on: .approved)
            #expect(seen.contains("hello.txt") && seen.contains("/export"), "\(seen)")
            let stranger = try lab.connect(Self.echo, options: "--from 10.78.0.1 --wait 500")
            #expect(stranger == "timeout")
        }

        @Test(
            "whichever node ends, its daemon or its power, an open flow goes on at the other, and a look-up opens there",
            .lab())
        func failover() async throws {
            let lab = try Lab.current
            try await prepare(lab)
            try putConntrackd(lab)
            for node in Self.nodes { try lab.runs("pair commands", on: node) }
            try await awaitGuard(lab)
            let first = try await eventually("one node has the addresses", within: .seconds(20)) { try holder(lab) }
            let second = other(first)
            try await expectLookupOpens(lab, at: first)
            try await spawnFlow(lab, "flow", to: Self.echo)
            try await awaitCopied(lab, to: second)

            try lab.runs("pair failover", on: first)
            try await eventually("the addresses have moved", within: .seconds(20)) { try holder(lab) == second }
            try await expectGoesOn(lab, "flow", "at the second node")
            try await expectLookupOpens(lab, at: second)

            try lab.systemctl("restart rpcwarden", on: first)
            try await awaitCopied(lab, to: first)
            for daemon in ["keepalived", "conntrackd", "rpcwarden"] { try lab.kill("\(second)-\(daemon)", "KILL") }
            let off = try lab.exec(
                second, "sh", "-ec", "for link in lan0 srv0 sync0; do ip link set $link down; done")
            #expect(off.isSuccess, "\(off)")
            try await eventually("the addresses are back", within: .seconds(20)) { try hasAddresses(lab, first) }
            try await expectGoesOn(lab, "flow", "back at the first node")
        }

        @Test(
            "without conntrackd: a flow to a standing element goes on at the other node, and one by a grant waits for a look-up",
            .lab())
        func withoutConntrackd() async throws {
            let lab = try Lab.current
            try await prepare(lab)
            for node in Self.nodes {
                let recipe = try Recipe("pair keepalived")
                try lab.install(try recipe.without("notify_") + "\n", on: node, at: recipe.path)
                let commands = try Recipe("pair commands").without("conntrackd")
                let output = try lab.exec(node, ["sh", "-ec", commands], seconds: 60)
                #expect(output.isSuccess, "\(output)")
            }
            try await awaitGuard(lab)
            let first = try await eventually("one node has the addresses", within: .seconds(20)) { try holder(lab) }
            try lab.lookUp(Self.echo, options: "--from 10.77.8.2")
            try await spawnFlow(lab, "granted", to: Self.echo)
            try await spawnFlow(lab, "standing", to: Self.standing)

            try lab.runs("pair failover", on: first)
            try await eventually("the addresses have moved", within: .seconds(20)) { try holder(lab) == other(first) }
            try await expectGoesOn(lab, "standing", "at the other node")
            try await eventually("the other node drops the flow that has no grant there", within: .seconds(30)) {
                try lab.exec(.server, "cat", "\(lab.state)/audit-\(other(first)).jsonl").text
                    .contains(/"probed","client":"10.77.8.2".*tcp\/4001/)
            }
            try lab.lookUp(Self.echo, options: "--from 10.77.8.2")
            try await expectGoesOn(lab, "granted", "after a look-up")
        }
    }
}
