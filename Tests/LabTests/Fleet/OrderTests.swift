import Addresses
import Foundation
import Portmapper
import Testing

extension LabTests {
    @Suite("Orders to a fleet")
    struct OrderTests {
        private static let client = "10.77.8.2"

        @Test(
            "a signed revocation ends a client's grants at every node, once; one that nobody trusts ends nothing",
            .lab())
        func revoked() async throws {
            let lab = try Lab.current
            let (first, second) = try lab.fleetNodes()
            let store = FleetStore(lab: lab)
            try await store.start()
            for name in ["policy", "other"] {
                let made = try run([
                    "minisign", "-G", "-W", "-p", "\(lab.state)/\(name).pub", "-s", "\(lab.state)/\(name).key",
                ])
                try #require(made.isSuccess, "\(made)")
            }
            for node in [first, second] {
                try await node.serve(
                    fleet: "pair: {name: nas}, policy: {fleet: lab, group: nfs, keys: \(lab.state)/policy.pub}")
                try await node.startService()
                try await node.join(store)
            }
            for (node, address) in [(first, "10.77.8.11"), (second, "10.77.8.12")] {
                let answer = try lab.ask(.approved, node.service().getPort, to: address, over: .tcp)
                #expect(answer.result(of: node.service().getPort) == .port(4001))
            }
            try second.stopSidecar()
            #expect(try order(first, lab, key: "other").isSuccess)
            #expect(try order(first, lab, key: "policy").isSuccess)
            try await eventually("the first node has followed it", within: .seconds(10)) {
                try !first.opens(to: Self.client)
            }
            #expect(try second.opens(to: Self.client))
            try second.startSidecar()
            try await eventually("the second node has followed it", within: .seconds(20)) {
                try !second.opens(to: Self.client)
            }
            #expect(try first.events("revoked").contains { $0.detail == "by an order of the fleet" })
            #expect(lab.log("daemon-server").contains("is not followed"))
            // The client may ask again, and keeps its grant through a restart of everything: the order still stands in
            // the store.
            _ = try lab.ask(.approved, second.service().getPort, to: "10.77.8.12", over: .tcp)
            #expect(try second.opens(to: Self.client))
            try second.stopDaemon("TERM")
            try await second.start()
            try await eventually("the second node is in step", within: .seconds(20)) { try second.isSynced() }
            #expect(try second.opens(to: Self.client))
        }

        private func order(_ node: FleetNode, _ lab: Lab, key: String) throws -> Output {
            try node.fleet("order", "revoke", "--client", Self.client, "--key", "\(lab.state)/\(key).key")
        }
    }
}
