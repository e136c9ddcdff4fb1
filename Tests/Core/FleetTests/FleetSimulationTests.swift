import Foundation
import Testing

/// More seeds: `FLEET_SEEDS=20000 swift test --filter FleetSimulationTests`. One again: `FLEET_SEED=… FLEET_NODES=… FLEET_TRACE=1`.
@Suite("simulated fleets") struct FleetSimulationTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let seeds = environment["FLEET_SEEDS"].flatMap { UInt64($0) } ?? 500

    @Test("keep the five principles at every step, and converge", arguments: [2, 5])
    func principles(nodes: Int) {
        let seed = Self.environment["FLEET_SEED"].flatMap { UInt64($0) }
        guard seed == nil || Self.environment["FLEET_NODES"] == "\(nodes)" else { return }
        var failed: [String] = []
        for seed in seed.map({ $0..<$0 + 1 }) ?? 0..<Self.seeds {
            var simulation = Simulation(seed: seed, nodes: nodes)
            simulation.isTraced = Self.environment["FLEET_TRACE"] != nil
            simulation.run()
            failed += simulation.violations
        }
        #expect(
            failed.count == 0, "\(failed.count) of \(Self.seeds) seeds: \(failed.prefix(3).joined(separator: "\n"))")
    }

    @Test("leave the daemons' own grants as they are, with the store gone for good", arguments: [2, 5])
    func storeGone(nodes: Int) {
        for seed in 0..<20 as Range<UInt64> {
            var simulation = Simulation(seed: seed, nodes: nodes)
            simulation.isStoreGone = true
            simulation.run(steps: 120)
            #expect(simulation.violations == [])
            #expect(simulation.places.allSatisfy { $0.daemon.copies.isEmpty && !$0.node.isSynced })
        }
    }

    @Test("ask less and less often where each read is answered as compacted", arguments: [2, 5])
    func alwaysCompacted(nodes: Int) {
        for seed in 0..<10 as Range<UInt64> {
            var simulation = Simulation(seed: seed, nodes: nodes)
            simulation.isAlwaysCompacted = true
            for _ in 0..<6000 { simulation.advance(by: .milliseconds(100)) }
            #expect(simulation.violations == [])
            // In ten minutes; with full jitter, half of the longest back-off is waited.
            let reads = simulation.seen["compacted while reading", default: 0] / nodes
            #expect((10...100).contains(reads), "\(reads)")
            simulation.isAlwaysCompacted = false
            for _ in 0..<1000 { simulation.advance(by: .milliseconds(100)) }
            #expect(simulation.places.allSatisfy { $0.node.isSynced })
        }
    }

    @Test("meet every misfortune that there is")
    func misfortunes() {
        var seen: Set<String> = []
        for seed in 0..<60 as Range<UInt64> {
            var simulation = Simulation(seed: seed, nodes: 2)
            simulation.run()
            seen.formUnion(simulation.seen.keys)
        }
        let all: Set<String> = [
            "compacted while reading", "compacted while watching", "copy ended", "copy used", "daemon restarted",
            "election", "expired", "host rebooted", "lease lapsed", "long absence", "node restarted", "offered",
            "partition", "policy",
            "quarantine offered", "response lost", "restored", "revoked",
        ]
        #expect(seen == all, "\(seen.symmetricDifference(all))")
    }
}
