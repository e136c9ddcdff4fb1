import Addresses
import Foundation
import Portmapper
import Testing

extension LabTests {
    @Suite("Quarantines of a fleet")
    struct SharedQuarantineTests {
        private static let stranger = "10.77.4.2"
        /// Named by a rule of the second node alone.
        private static let named = "10.79.1.1"

        /// So many denials over TCP as `quarantine.after` says.
        private func provoke(_ lab: Lab, from client: String) throws {
            try lab.provoke(from: .stranger, as: client, to: "10.77.4.1", over: .tcp, count: 20)
        }

        private func quarantines(_ node: FleetNode, _ client: String) throws -> Bool {
            let set = try node.lab.exec(node.host, "nft", "list", "set", "inet", "rpcwarden", "quarantined4").text
            return set.contains("\(client) ")
        }

        @Test("a stranger's reaches the other node in seconds, and never one that a rule there names", .lab())
        func reaches() async throws {
            let lab = try Lab.current
            let (first, second) = try lab.fleetNodes()
            let store = FleetStore(lab: lab)
            try await store.start()
            let policy = FleetNode.policy
            for (node, more) in [(first, ""), (second, ", \(Self.named)")] {
                try await node.serve(
                    fleet: "quarantines: {share: true, accept: true}",
                    policy: policy.replacing("10.78.0.0/16", with: "10.78.0.0/16\(more)"))
                try await node.join(store)
            }
            try provoke(lab, from: Self.named)
            try provoke(lab, from: Self.stranger)
            for client in [Self.named, Self.stranger] {
                try await eventually("\(client) is quarantined at the first node") { try quarantines(first, client) }
            }
            try await eventually("it is at the second node", within: .seconds(10)) {
                try quarantines(second, Self.stranger)
            }
            // It was told before the other.
            #expect(try store.keys("quarantines/server/").count == 2)
            try await Task.sleep(for: .milliseconds(500))
            #expect(try !quarantines(second, Self.named))
            let event = try #require(try second.events("quarantined").first)
            #expect(event.client == Self.stranger && event.detail?.contains("server") == true, "\(event)")
            #expect(try second.status().fleet?.foreign_quarantines == 1)
            let listed = try second.fleet("quarantines").text
            #expect(listed.contains(Self.stranger) && listed.contains(Self.named), "\(listed)")

            // A release counts where it is made: the key goes, and a key that goes means nothing to others.
            let released = try first.rpcwarden("release", "--client", Self.stranger).text
            #expect(released.contains("rpcwarden-fleet order release --client \(Self.stranger) --key"), "\(released)")
            try await eventually("the key is gone") { try store.keys("quarantines/server/").count == 1 }
            #expect(try !quarantines(first, Self.stranger) && (try quarantines(second, Self.stranger)))
            #expect(try second.rpcwarden("release", "--client", Self.stranger).isSuccess)
            #expect(try !quarantines(second, Self.stranger))
        }

        @Test("one that was released stays so, though the other node still says otherwise", .lab())
        func released() async throws {
            let lab = try Lab.current
            let (first, second) = try lab.fleetNodes()
            let store = FleetStore(lab: lab)
            try await store.start()
            for node in [first, second] {
                try await node.serve(fleet: "quarantines: {share: true, accept: true}")
                try await node.join(store)
            }
            try provoke(lab, from: Self.stranger)
            try await eventually("it is at the second node") { try quarantines(second, Self.stranger) }
            #expect(try second.rpcwarden("release", "--client", Self.stranger).isSuccess)
            #expect(try !quarantines(second, Self.stranger))
            // Everything is read and offered anew.
            try second.stopSidecar()
            try second.startSidecar()
            try await eventually("the second node is in step") { try second.isSynced() }
            try provoke(lab, from: "10.79.2.2")
            try await eventually("a later one has come") { try quarantines(second, "10.79.2.2") }
            #expect(try !quarantines(second, Self.stranger))
            #expect(try quarantines(first, Self.stranger))
        }
    }
}
