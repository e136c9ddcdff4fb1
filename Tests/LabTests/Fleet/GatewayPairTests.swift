import Addresses
import Foundation
import Portmapper
import Testing

extension LabTests {
    /// Two gateways in front of a filer that knows nothing of them.
    @Suite("A pair of gateways that share grants")
    struct GatewayPairTests {
        private static let settings = """
            gateway:
              servers:
                - {name: filer1, address: [10.77.5.2], rpcbind: {refresh: 1s}}
            """
        private static let policy = """
            rules:
              - name: clients use the filer
                from: [10.77.8.0/24]
                to: [\(Echo.programs[0])]
                at: [filer1]
            """
        private static let element = "10.77.8.2 . 10.77.5.2 . tcp . 4001"

        private func grants(_ node: FleetNode) throws -> String {
            try node.lab.exec(node.host, "nft", "list", "set", "inet", "rpcwarden", "granted_at4").text
        }

        /// The gateway's addresses, on both sides.
        private func serve(_ node: FleetNode, _ takes: Bool) throws {
            let script = """
                for pair in "10.77.8.1/24 lan0" "10.77.5.1/24 srv0"; do
                    set -- $pair
                    ip address \(takes ? "replace" : "delete") $1 dev $2
                done
                """
            let output = try node.lab.exec(node.host, "sh", "-ec", script)
            try #require(output.isSuccess, "\(output)")
            for (host, device) in [(Lab.Host.approved, "lan0"), (.filer, "srv0")] {
                _ = try node.lab.exec(host, "ip", "neigh", "flush", "dev", device)
            }
        }

        @Test("what one gateway opened to a client, the other has open when it takes the addresses", .lab())
        func failover() async throws {
            let lab = try Lab.current
            try lab.control("pair")
            try lab.control("filer", "rpcbind", "start")
            let echo = Echo(host: .filer)
            try await lab.start(echo)
            let store = FleetStore(lab: lab)
            try await store.start()
            let nodes = [FleetNode(lab: lab, host: .server), FleetNode(lab: lab, host: .spare)]
            for node in nodes {
                _ = try lab.exec(node.host, "sysctl", "-qw", "net.ipv4.ip_forward=1")
                try await node.serve(Self.settings, policy: Self.policy, isGateway: true)
                try await node.join(store)
                try await eventually("\(node.name) guards the filer's port") {
                    try lab.exec(node.host, "nft", "list", "set", "inet", "rpcwarden", "guarded_at4").text
                        .contains("10.77.5.2 . tcp . 4001")
                }
            }
            try serve(nodes[0], true)
            let client = "--from 10.77.8.2"
            #expect(try lab.connect(echo, options: client + " --wait 500") == "timeout")
            #expect(try lab.lookUp(echo, options: client).result(of: echo.getPort) == .port(4001))
            #expect(try lab.connect(echo, options: client) == "connected")
            try await eventually("the other gateway has the grant", within: .seconds(20)) {
                try grants(nodes[1]).contains(Self.element)
            }
            // Neither has an rpcbind of its own, and neither needs one.
            for node in nodes {
                let key = "/rpcwarden/v1/lab/nodes/\(node.name)/status"
                let status = try store.etcdctl("get", "--print-value-only", key)
                #expect(status.text.contains(#""rpcbind":"1""#), "\(status)")
            }
            try store.stop()
            try serve(nodes[0], false)
            try serve(nodes[1], true)
            #expect(try lab.connect(echo, options: client + " --wait 3000") == "connected")
            #expect(try nodes[1].events("permitted").isEmpty)
            #expect(try nodes[1].grants().first?.server == "filer1")
        }
    }
}
