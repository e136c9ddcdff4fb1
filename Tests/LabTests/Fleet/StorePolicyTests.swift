import Foundation
import Portmapper
import Testing

extension LabTests {
    /// A policy that comes by etcd, written there by whoever can write to etcd.
    @Suite("A policy from the store")
    struct StorePolicyTests {
        private static let echo = Echo()

        private func prepare(_ lab: Lab) async throws -> (FleetNode, FleetStore) {
            for name in ["known", "unknown"] {
                let made = try run([
                    "minisign", "-G", "-W", "-p", "\(lab.state)/\(name).pub", "-s", "\(lab.state)/\(name).key",
                ])
                try #require(made.isSuccess, "\(made)")
            }
            try FileManager.default.createDirectory(
                atPath: "\(lab.state)/nfs", withIntermediateDirectories: false)
            try lab.write(
                "rules:\n  - {name: most, from: [10.77.0.0/16], to: [\(Echo.programs[0])]}\n", to: "ceiling.yaml")
            let (node, _) = try lab.fleetNodes()
            let store = FleetStore(lab: lab)
            try await store.start()
            try await node.serve(
                fleet: "policy: {group: nfs, mode: replace, keys: \(lab.state)/known.pub, "
                    + "ceiling: \(lab.state)/ceiling.yaml}",
                // Of this host, and not read.
                policy: "rules: [{name: a, from: [0.0.0.0/0], to: [1-99999999]}]")
            try await node.join(store, state: FleetNode.fetched)
            try await lab.start(node.service())
            return (node, store)
        }

        /// A bundle that permits the program to one client.
        private func bundle(_ lab: Lab, from client: String, serial: Int, key: String = "known") throws -> String {
            try lab.write(
                "rules:\n  - {name: fleets, from: [\(client)], to: [\(Echo.programs[0])]}\n", to: "nfs/a.yaml")
            let output = try run([
                lab.binary, "policy", "sign", "\(lab.state)/nfs", "--key", "\(lab.state)/\(key).key", "--serial",
                "\(serial)", "--fleet", "lab",
            ])
            try #require(output.isSuccess, "\(output)")
            return output.text
        }

        /// Writes it to the store past `rpcwarden-fleet publish`, which would refuse some of these.
        private func put(_ lab: Lab, _ store: FleetStore, _ bundle: String, serial: Int, bytes: Int? = nil) throws {
            try lab.write(bundle, to: "put.bundle")
            let sum = try run(["sha256sum", "\(lab.state)/put.bundle"]).text.prefix(64)
            let current =
                #"{"v":1,"serial":"\#(serial)","sha256":"\#(sum)","bytes":"\#(bytes ?? bundle.utf8.count)"}"#
            let part = "/rpcwarden/v1/lab/policy/nfs"
            #expect(try store.etcdctl("put", "\(part)/bundle/\(serial)/0", bundle).isSuccess)
            #expect(try store.etcdctl("put", "\(part)/current", current).isSuccess)
        }

        private func permits(_ lab: Lab, _ node: FleetNode, _ client: String) throws -> Bool {
            let call = node.service().getPort
            return try lab.ask(.approved, call, to: "10.77.1.1", over: .tcp, options: "--from \(client)")
                .result(of: call) == .port(4001)
        }

        @Test(
            "is refused whole if it isn't signed by a known key, whole, and newer: told, and the old one stays in force",
            .lab())
        func refused() async throws {
            let lab = try Lab.current
            let (node, store) = try await prepare(lab)
            #expect(try !permits(lab, node, "10.77.1.2"), "without a bundle nothing is permitted")
            try put(lab, store, bundle(lab, from: "10.77.1.2", serial: 42), serial: 42)
            try await eventually("serial 42 is in force") { try node.status().fleet?.serial == 42 }
            #expect(try permits(lab, node, "10.77.1.2"))
            #expect(try lab.connect(node.service()) == "connected")

            let other = "10.77.1.3"
            let good = try bundle(lab, from: other, serial: 43)
            let truncated = String(good.dropLast(9))
            let bad: [(String, () throws -> Void)] = [
                ("was changed after key", { try put(lab, store, good.replacing("1.3", with: "1.4"), serial: 43) }),
                (
                    "which is none of the keys",
                    { try put(lab, store, bundle(lab, from: other, serial: 44, key: "unknown"), serial: 44) }
                ),
                ("was changed after key", { try put(lab, store, truncated, serial: 45) }),
                ("fewer bytes", { try put(lab, store, truncated, serial: 46, bytes: good.utf8.count) }),
                ("serial 43", { try put(lab, store, good, serial: 47) }),
                ("older than 42", { try put(lab, store, bundle(lab, from: other, serial: 41), serial: 41) }),
            ]
            for (why, publish) in bad {
                let before = try node.events("policy-refused").count
                try publish()
                let told = try await eventually("\(why)") {
                    try node.events("policy-refused").dropFirst(before).first
                }
                #expect(told.detail?.contains(why) == true, "\(why): \(told.detail ?? "")")
                #expect(try node.status().fleet?.serial == 42, "\(why)")
                #expect(try !permits(lab, node, other), "\(why)")
            }
            // The netfilter process, too: it makes grants for the old policy alone.
            #expect(try permits(lab, node, "10.77.1.2"))
            #expect(try lab.connect(node.service()) == "connected")
            #expect(try node.events("revoked").isEmpty)

            // With the store away, a start takes what is on the disk.
            try store.stop()
            try node.stopDaemon("TERM")
            try await node.start()
            #expect(try node.status().fleet?.serial == 42)
            #expect(try permits(lab, node, "10.77.1.2"))
            #expect(try !permits(lab, node, other))
        }

        @Test("beyond the ceiling is refused by both processes, after a restart too, and the next one is taken", .lab())
        func ceiling() async throws {
            let lab = try Lab.current
            let (node, store) = try await prepare(lab)
            try put(lab, store, bundle(lab, from: "10.77.1.2", serial: 1), serial: 1)
            try await eventually("serial 1 is in force") { try node.status().fleet?.serial == 1 }
            try put(lab, store, bundle(lab, from: "10.0.0.0/8", serial: 2), serial: 2)
            let told = try await eventually("it is told") { try node.events("policy-refused").first }
            #expect(told.detail?.contains("rule \"fleets\" exceeds the ceiling") == true, "\(told)")
            #expect(try node.status().fleet?.serial == 1)
            #expect(try !permits(lab, node, "10.78.1.1"))
            #expect(try permits(lab, node, "10.77.1.2"))
            #expect(try lab.connect(node.service()) == "connected", "the netfilter process grants by serial 1")

            try node.stopDaemon("TERM")
            // The sidecar has replaced the file that was good; the daemon has kept it.
            try await node.start()
            #expect(try node.status().fleet?.serial == 1)
            #expect(try permits(lab, node, "10.77.1.2"))
            try put(lab, store, bundle(lab, from: "10.77.1.3", serial: 3), serial: 3)
            try await eventually("serial 3 is in force") { try node.status().fleet?.serial == 3 }
            #expect(try permits(lab, node, "10.77.1.3"))
        }
    }
}
