import Addresses
import Foundation
import Portmapper
import Testing

extension LabTests {
    /// nfs-ganesha at two servers with one address between them, and libnfs as the client.
    @Suite("A pair of NFS servers")
    struct NFSPairTests {
        private static let policy = """
            rules:
              - name: clients mount
                from: [10.77.8.0/24, 10.78.0.0/16]
                to: [mountd, nfs]
            """

        private func read(_ lab: Lab) throws -> Output {
            try lab.exec(.approved, "nfs-cat", "nfs://\(FleetNode.address)/export/hello.txt?version=3", seconds: 10)
        }

        @Test(
            "a client that mounted at the node that died has mountd and nfs open at the other, before it asks", .lab())
        func mounted() async throws {
            let lab = try Lab.current
            let (first, second) = try lab.fleetNodes()
            let store = FleetStore(lab: lab)
            try await store.start()
            for node in [first, second] {
                try await node.serve(policy: Self.policy)
                try lab.control(node.host == .server ? ["ganesha", "start"] : ["spare", "ganesha", "start"])
                try await node.join(store)
            }
            try first.takeAddress()
            #expect(try read(lab).text.contains("hello"))
            try await eventually("the other node has both grants", within: .seconds(20)) {
                try second.status().fleet?.foreign_grants == 2
            }
            try first.die()
            try second.takeAddress()
            let before = try second.events("permitted").count
            // What a mounted client does: it asks no portmapper.
            let port = try #require(try second.grants().first { $0.program_name == "nfs" }?.port)
            #expect(
                try lab.peer(
                    .approved,
                    "connect --to \(FleetNode.address) --port \(port) --over tcp --from 10.77.8.2 --wait 2000"
                ).lines.first == "connected")
            #expect(try second.events("permitted").count == before)
            // And a new mount, which asks.
            #expect(try read(lab).text.contains("hello"))
            try await eventually("the copies are this node's own now", within: .seconds(10)) {
                try second.events("permitted").count > before
            }
        }
    }
}
