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
}
