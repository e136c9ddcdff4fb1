import Foundation
import Portmapper
import Testing

extension LabTests {
    /// Grafana itself is not here; Prometheus is, and gets each query of each panel as Grafana would send it.
    @Suite(
        "The dashboard",
        .enabled(
            if: Contrib.isInstalled("prometheus") && Contrib.isInstalled("curl"),
            "needs prometheus: apt-get install --no-install-recommends"))
    struct DashboardTests {
        private static let (first, second) = (Echo.programs[0], Echo.programs[1])

        /// What these show needs a fault that is made elsewhere: here they are there, and 0.
        private static let atRest = [
            "Audit lines swallowed and lost B": "AuditFaultTests fill a disk",
            "Failures B": "KernelAnswerTests have the kernel refuse a transaction, which takes many tries",
            "Failures D": "FloodTests: the kernel reports fewer packets than it drops only under a load of its own",
            "Ports and registrations E": "OrphanTests register thousands of programs as a local user",
            "What is not told yet B": "the sidecar would have to stand still for as long as a socket takes to fill",
            "What is not told yet C": "the same, for longer",
        ]

        @Test(
            "each query of each panel finds what happens: look-ups, denials of many reasons, faults, a fleet, a gateway",
            .lab())
        func everyPanel() async throws {
            let lab = try Lab.current
            let spare = try await Self.site(lab)
            let start = Date()
            try await lab.startPrometheus(nodes: ["10.77.8.12:\(Lab.metricsPort)"])
            try Self.startLoad(lab)
            try await Self.faults(lab, spare)

            let dashboard = try Dashboard.contrib()
            let variables = try dashboard.variables(lab, scrapeInterval: 1, seconds: 300)
            #expect(variables["job"] == "rpcwarden" && variables["instance"]?.contains("|") == true, "\(variables)")
            var waiting = dashboard.askingPanels.flatMap { panel in
                (panel.targets ?? []).map { (panel: panel.title, target: $0) }
            }
            let count = waiting.count
            var legends: [String: [String]] = [:]
            var atRest = Self.atRest
            do {
                try await eventually("each query finds something", within: .seconds(60)) {
                    waiting = try waiting.filter { panel, target in
                        let answer = try DashboardAnswer(lab, target, variables, since: start)
                        let name = "\(panel) \(target.refId)"
                        guard atRest[name] == nil ? answer.tellsSomething : !answer.isEmpty else { return true }
                        atRest[name] = nil
                        legends[panel, default: []] += answer.legends
                        return false
                    }
                    return waiting.isEmpty
                }
            } catch is Unfulfilled {
                let left = waiting.map { "\($0) \($1.refId): \($1.expr)" }.joined(separator: "\n")
                throw Unfulfilled(description: "of \(count) queries these find nothing:\n\(left)")
            }
            #expect(atRest.isEmpty, "no such query")
            for (panel, texts) in legends {
                #expect(texts.allSatisfy { !$0.contains("{{") }, "\(panel) names a label that is not there: \(texts)")
                #expect(Set(texts).count == texts.count, "\(panel) has lines of the same name: \(texts)")
            }
            try await Self.expectExposed(dashboard.metrics, lab)
            let denials = try #require(dashboard.askingPanels.first { $0.title == "Denials by reason" }?.targets?.first)
            try await eventually("the reasons of all denials are there") {
                Self.reasons.isSubset(of: try DashboardAnswer(lab, denials, variables, since: start).legends)
            }
        }

        /// Of the load's denials.
        private static let reasons: Set = [
            "stranger", "no-rule", "no-list", "udp-list", "transport", "remote-registration", "remote-call",
            "not-served",
        ]

        // MARK: The site

        /// A pair of servers with a store. The first is a gateway, too, and has a policy from elsewhere.
        ///
        /// - Returns: the second.
        private static func site(_ lab: Lab) async throws -> FleetNode {
            try lab.control("filer")
            try lab.control("filer", "rpcbind", "start")
            let (server, spare) = try lab.fleetNodes()
            let store = FleetStore(lab: lab)
            try await store.start()
            try publish(lab)
            try await server.serve(
                """
                metrics: 127.0.0.1:\(Lab.metricsPort)
                quarantine: {after: 5, within: 10s, for: 60s}
                limits: {strangers-per-second: 200}
                firewall: {keep: 5s, own-table: false}
                \(Filer.settings())
                """,
                fleet: "pair: {name: nas}, quarantines: {share: true, accept: true}, "
                    + "policy: {group: nfs, mode: add, bundle: \(lab.state)/nfs.bundle, keys: \(lab.state)/k.pub}",
                policy: """
                    rules:
                      - name: clients use the first service and list
                        from: [10.77.1.2, 10.77.8.0/24, 10.78.0.0/16]
                        to: [\(first)]
                        list: true
                      - {name: the second over TCP, from: [10.77.3.2, 10.78.0.0/16], to: [\(second)], over: [tcp]}
                      - {name: always, from: [10.77.1.3], to: [\(first)], open: always}
                      - {name: at the filer, from: [10.77.1.2, 10.78.0.0/16], to: [\(first)], at: [filer1]}
                    """)
            try await spare.serve(
                "metrics: 10.77.8.12:\(Lab.metricsPort)",
                fleet: "pair: {name: nas}, quarantines: {share: true, accept: true}")
            for node in [server, spare] { try await node.join(store) }
            for echo in [
                Echo(), Echo(program: second, port: 4002), Echo(program: second, port: 4002, transport: .udp),
                Echo(port: 4003, host: .filer),
            ] {
                try await lab.start(echo)
            }
            // Grants for the second service wait at the other node, which has the first one only.
            try await spare.startService(4005)
            return spare
        }

        private static func publish(_ lab: Lab) throws {
            let folder = "\(lab.state)/nfs"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            try lab.write("rules: [{name: fleets, from: [10.77.3.9], to: [\(first)]}]\n", to: "nfs/a.yaml")
            let script = """
                minisign -G -W -p \(lab.state)/k.pub -s \(lab.state)/k.sec >\(lab.state)/minisign.log
                \(lab.binary) policy sign \(folder) --key \(lab.state)/k.sec --serial 7 --not-after 2100-01-01 \
                    >\(lab.state)/nfs.bundle
                """
            let output = try lab.exec(.server, "sh", "-ec", script)
            try #require(output.isSuccess, "\(output)")
        }

        // MARK: What happens there

        /// Goes on until the lab is taken down.
        private static func startLoad(_ lab: Lab) throws {
            let storm = "storm --over udp --version 1 --service tcp --parallel 4 --wait 1000 --program \(first)"
            try loop(
                lab, .approved,
                [
                    "\(storm) --to 10.77.1.1 --count 20 --sources 10.78.$i.1/20 --connect",
                    "\(storm) --to 10.77.5.2 --count 5 --sources 10.78.$i.101/5 --connect",
                    "call --to 10.77.1.1 --over tcp v4 dump", "call --to 10.77.1.1 --over udp v4 dump",
                    "call --to 10.77.1.1 --over tcp --from 10.78.$i.1 v2 getport \(second) 1 tcp",
                    "call --to 10.77.1.1 --over tcp --from 10.78.$i.1 v2 getport \(second) 1 udp",
                    "call --to 10.77.1.1 --over tcp v2 getport 300000 1 tcp",
                    "call --to 10.77.1.1 --over udp v2 null",
                ])
            try loop(
                lab, .limited,
                [
                    "call --to 10.77.3.1 --over tcp v4 dump", "call --to 10.77.3.1 --over tcp v4 gettime",
                    "call --to 10.77.3.1 --over tcp v2 getport \(second) 1 tcp",
                    "call --to 10.77.3.1 --over tcp v2 set 300000 1 tcp 9",
                    "call --to 10.77.3.1 --over tcp v2 callit 300000 1 0",
                ])
            try loop(
                lab, .stranger,
                [
                    // It is quarantined soon; then the kernel drops what it sends.
                    "call --to 10.77.4.1 --over tcp --wait 200 v2 null",
                    "connect --to 10.77.4.1 --port 4001 --over tcp --wait 200",
                    "call --to 10.77.4.1 --over udp --wait 100 --from 10.79.$i.1 v2 getport \(first) 1 tcp",
                ])
        }

        private static func loop(_ lab: Lab, _ host: Lab.Host, _ commands: [String]) throws {
            let lines = commands.map { "\(lab.peerBinary) \($0) >\(lab.state)/load-\(host).last 2>&1" }
            let script = "i=0; while :; do i=$((i % 250 + 1))\n\(lines.joined(separator: "\n"))\ndone"
            try lab.spawn(host, "load-\(host)", ["sh", "-c", script])
        }

        /// Each lasts until Prometheus has seen it.
        private static func faults(_ lab: Lab, _ spare: FleetNode) async throws {
            func awaits(_ query: String) async throws {
                try await eventually(query, within: .seconds(60)) { try lab.query(query) != [] }
            }
            // More connections than a client may have.
            try lab.spawnPeer(
                .approved, "connections", "tcp-hold --to 10.77.1.1 --port 111 --count 20 --from 10.77.1.2 --hold 60000")
            try await awaits("rpcwarden_connections_crowded_out_total > 0")
            // RDMA, which no packet filter sees; and a service that unregisters and goes on.
            let rdma = "call --unix /run/rpcbind.sock v4 set 100003 3 rdma 0.0.0.0.78.81 superuser"
            #expect(try lab.peer(.server, rdma).text.contains("true"))
            try await awaits("rpcwarden_unguardable_registrations > 0")
            try lab.register(Echo(program: second, port: 4002, transport: .udp), as: "unset")
            try await awaits("rpcwarden_orphaned_ports > 0")
            // An rpcbind that hangs, and a client that retransmits meanwhile.
            try lab.kill("rpcbind", "STOP")
            try await eventually("a call waits, a retransmission and a failure are counted", within: .seconds(60)) {
                _ = try lab.peer(
                    .approved, "call --to 10.77.1.1 --over udp --repeat 5 --wait 300 v2 getport \(first) 1 tcp")
                return try [
                    "rpcwarden_duplicate_calls_total", "rpcwarden_upstream_failures_total",
                    "max_over_time(rpcwarden_calls_under_way[1m])",
                ].allSatisfy { try lab.query("\($0) > 0") != [] }
            }
            try lab.kill("rpcbind", "CONT")
            try await awaits("rpcwarden_rpcbind_up == 1")
            #expect(try lab.exec(.server, "nft", "flush", "set", "inet", "rpcwarden", "granted4").isSuccess)
            try await awaits(#"rpcwarden_events_total{event="tampered"} > 0"#)
            // What happens here waits for the store.
            try lab.kill("etcd", "STOP")
            try await awaits("rpcwarden_fleet_queue > 0")
            try lab.kill("etcd", "CONT")
            try await awaits("min(rpcwarden_fleet_connected) == 1")
            try lab.spawnPeer(.stranger, "flood", "flood --to 10.77.4.1 --over udp --sources 10.79.0.1/200 --seconds 5")
            try await awaits("rpcwarden_shielded > 0 and on (instance) rpcwarden_audit_suppressed_total > 0")
            try spare.stopDaemon()
            try await awaits("up == 0")
        }

        /// A query on a metric that there isn't finds nothing, whatever happens.
        private static func expectExposed(_ metrics: Set<String>, _ lab: Lab) async throws {
            let page = try lab.exec(.server, "curl", "-s", "http://127.0.0.1:\(Lab.metricsPort)/metrics").text
            let exposed = Set(page.matches(of: /(?m)^(rpcwarden_\w+)/).map { String($0.1) })
            #expect(metrics.subtracting(exposed) == [])
            #expect(metrics.count > 30)
        }
    }
}
