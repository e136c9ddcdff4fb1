import Addresses
import Foundation
import Testing

extension LabTests {
    @Suite("A pair at scale")
    struct FleetScaleTests {
        /// RPCWARDEN_FLEET_CLIENTS=10000 for the figures of docs/PERFORMANCE.md.
        private static let clients =
            ProcessInfo.processInfo.environment["RPCWARDEN_FLEET_CLIENTS"].flatMap { Int($0) } ?? 1000
        private static let programs = (1...4).map { UInt32(0x2000_0000 + $0) }
        private static let policy = """
            rules:
              - name: clients of the pair
                from: [10.77.8.0/24, 10.78.0.0/16]
                to: [\(programs.map(String.init).joined(separator: ", "))]
            """

        @Test("a boot storm of clients with eight grants each reaches the store and the other node whole", .lab())
        func storm() async throws {
            let lab = try Lab.current
            let (first, second) = try lab.fleetNodes()
            let store = FleetStore(lab: lab)
            try await store.start()
            for node in [first, second] {
                try await node.serve(
                    "limits: {calls-per-second: 10000, grants: 200000}", fleet: "pair: {name: nas, grants: 100000}",
                    policy: Self.policy)
                try await node.join(store)
                for echo in echoes(at: node) { try await lab.start(echo) }
            }
            try first.takeAddress()
            let all = Self.clients * 8
            let started = ContinuousClock.now
            let outputs = try lab.peers(
                .approved,
                echoes(at: first).map {
                    "storm --to \(FleetNode.address) --over tcp --count \(Self.clients) --program \($0.program)"
                        + " --version 1 --service \($0.transport) --sources 10.78.1.1/\(Self.clients) --parallel 8"
                        + " --wait 4000"
                })
            let asked = ContinuousClock.now
            for output in outputs { #expect(tally(output)["ok"] == Self.clients, "\(output)") }
            try await eventually("all are in the store", within: .seconds(120)) {
                try store.count("pairs/nas/grants/server/") == all
            }
            let stored = ContinuousClock.now
            try await eventually("all are at the other node", within: .seconds(120)) {
                try second.status().fleet?.foreign_grants == all
            }
            let copied = ContinuousClock.now
            let resident = try [first, second].map { try $0.sidecarKilobytes() / 1024 }
            print(
                "\(all) grants: asked in \(asked - started); in the store \(stored - asked) after the last,"
                    + " at the other node \(copied - asked); sidecars \(resident) MB")
            // The other node is started anew: everything is read back.
            try second.stopSidecar()
            let restarted = ContinuousClock.now
            try second.startSidecar()
            try await eventually("it is in step again", within: .seconds(120)) { try second.isSynced() }
            print("in step again \(ContinuousClock.now - restarted) after its start")
        }

        private func echoes(at node: FleetNode) -> [Echo] {
            Self.programs.enumerated().flatMap { index, program in
                [Transport.tcp, .udp].map { transport in
                    var echo = Echo(program: program, port: UInt16(4001 + index), transport: transport)
                    echo.host = node.host
                    return echo
                }
            }
        }
    }
}
