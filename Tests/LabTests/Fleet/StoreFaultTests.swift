import Addresses
import Foundation
import Portmapper
import Testing

extension LabTests {
    @Suite("Faults of the store")
    struct StoreFaultTests {
        enum Fault: String, CaseIterable, Sendable {
            case partitioned
            case stopped
        }

        /// A stranger's denials at the second node, which tells of them by a member that is whole.
        private func provoke(_ lab: Lab) throws {
            try lab.provoke(from: .approved, as: "10.78.9.9", to: "10.77.8.12", over: .tcp, count: 20)
        }

        @Test(
            "a node leaves a member that lost the others, or hangs, for one that is whole", .lab(),
            arguments: [(Fault.partitioned, 10), (.stopped, 16)])
        func member(fault: Fault, seconds: Int) async throws {
            let lab = try Lab.current
            let (first, second) = try lab.fleetNodes()
            let cluster = FleetCluster(lab: lab)
            try await cluster.start()
            let policy = FleetNode.policy.replacing(", 10.78.0.0/16", with: "")
            for node in [first, second] {
                try await node.serve(fleet: "quarantines: {share: true, accept: true}", policy: policy)
            }
            let store = FleetStore(lab: lab)
            try await first.join(store, at: FleetCluster.members.map { FleetCluster.endpoint($0.address) })
            try await second.join(store)
            let log = first.sidecarLog

            let member = FleetCluster.members[0]
            let start = ContinuousClock.now
            switch fault {
            case .partitioned: try cluster.cutOff(member.address)
            case .stopped: try lab.kill(cluster.name(member.host), "STOP")
            }
            try provoke(lab)
            try await eventually("a quarantine reaches the first node", within: .seconds(60)) {
                try first.events("quarantined").contains { $0.client == "10.78.9.9" }
            }
            let lasted = ContinuousClock.now - start
            #expect(lasted < .seconds(seconds), "\(lasted)")
            let told = first.sidecarLog.dropFirst(log.count)
            #expect(told.contains("etcd is away") && told.contains("connected to etcd"), "\(told)")
            try await eventually("it is in step") { try first.isSynced() }
        }

        private func fullReads(_ node: FleetNode) throws -> Int {
            let text = try node.fleet("status", "--json").text
            let match = try #require(text.firstMatch(of: /"full_reads":"?(\d+)/))
            return try #require(Int(match.1))
        }

        @Test("what was compacted while a sidecar stood still is read anew", .lab())
        func compacted() async throws {
            let lab = try Lab.current
            let (first, second, store) = try await lab.fleetPair()
            let before = try fullReads(second)
            let log = second.sidecarLog
            try second.stopSidecar("STOP")
            // The connection's buffers hold an answer or two: with 32 MB of them, a busy etcd was still filling them when
            // the grant came, and it came through.
            for (host, buffer) in [(second.host, "tcp_rmem"), (.approved, "tcp_wmem")] {
                try #require(
                    try lab.exec(host, "sysctl", "-qw", "net.ipv4.\(buffer)=4096 65536 65536").isSuccess)
            }
            // More than the 128 answers that etcd keeps for a watch.
            let key = Data("/rpcwarden/v1/lab/pairs/nas/junk".utf8).base64EncodedString()
            let value = Data(repeating: 120, count: 100_000).base64EncodedString()
            try lab.write(#"{"key":"\#(key)","value":"\#(value)"}"#, to: "junk.json")
            let puts = try lab.exec(
                .approved, "curl", "-sf", "--cacert", store.caPath, "--data", "@\(lab.state)/junk.json",
                "\(store.endpoint)/v3/kv/put#[1-250]", seconds: 100)
            try #require(puts.isSuccess, "\(puts)")
            let service = first.service()
            _ = try lab.ask(.approved, service.getPort, to: "10.77.8.11", over: .tcp, options: "--from 10.78.1.1")
            try await eventually("the grant is in the store") {
                try store.keys("pairs/nas/grants/server/").count == 1
            }
            // The grant is beyond what the watch still gets.
            try #require(try store.etcdctl("del", "/rpcwarden/v1/lab/pairs/nas/junk").isSuccess)
            let status = try store.etcdctl("endpoint", "status", "--write-out", "json").text
            let revision = try #require(status.firstMatch(of: /"revision":(\d+)/)).1
            try #require(try store.etcdctl("compact", "--physical", String(revision)).isSuccess)
            try second.stopSidecar("CONT")
            // It reads 17 MB first. Debian 12's etcd says half of the times that the watch is compacted. Else it passes over
            // the grant (its issue 17529), and the next check finds it.
            do {
                try await eventually("the grant is at the second node", within: .seconds(120)) {
                    try second.opens(to: "10.78.1.1")
                }
            } catch {
                let status = try second.fleet("status", "--json")
                throw Unfulfilled(description: "\(error): \(second.sidecarLog.dropFirst(log.count))\(status)")
            }
            #expect(try fullReads(second) > before)
            #expect(!second.sidecarLog.dropFirst(log.count).contains("etcd is away"))
        }

        @Test("a certificate with a common name: `check` warns of what etcd's gateway refuses", .lab())
        func commonName() async throws {
            let lab = try Lab.current
            let (node, _) = try lab.fleetNodes()
            let store = FleetStore(lab: lab)
            try await store.start(asksForCertificates: true)
            try store.makeCertificate("with", subject: "/O=lab/CN=nas1")
            try store.makeCertificate("without", subject: "/O=nas1")
            try lab.write("secret\n", to: "store/root.password")
            _ = try run([
                "sh", "-c", "cd \(store.folder); chmod 600 *.key *.password; chown 64990 with*.key *.password",
            ])
            for words in ["user add root:secret", "user grant-role root root", "auth enable"] {
                try #require(try store.etcdctl(words.split(separator: " ").map(String.init)).isSuccess)
            }
            try await node.serve()

            try await node.join(store, certificate: "\(store.folder)/with", login: "root", awaitsSync: false)
            let warned = try node.fleet("check")
            #expect(warned.isSuccess && warned.errors.contains("certificate: its subject has a CN"), "\(warned)")
            do {
                try await eventually("etcd refuses it", within: .seconds(10)) {
                    node.sidecarLog.contains("etcd is away")
                }
            } catch { throw Unfulfilled(description: "\(error): \(node.sidecarLog)") }
            #expect(node.sidecarLog.contains("400"), "\(node.sidecarLog)")
            try node.stopSidecar()

            try await node.join(store, certificate: "\(store.folder)/without", login: "root")
            let good = try node.fleet("check")
            #expect(good.isSuccess && good.errors.isEmpty && good.text.contains("no problems"), "\(good)")
        }
    }
}
