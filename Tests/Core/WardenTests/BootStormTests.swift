import Testing

@Suite("boot storm") struct BootStormTests {
    @Test(
        "clients that boot at once are all served, through losses and stalls, and no step breaks an invariant",
        arguments: [1, 2] as [UInt64])
    func storm(seed: UInt64) {
        var plan = StormPlan()
        plan.clients = 150
        plan.seed = seed
        plan.strangersPerSecond = 2500
        let storm = BootStorm(plan)
        storm.run()
        #expect(storm.outcome.violations == [])
        #expect(storm.outcome.waits.count == 8 * plan.clients)
        // The losses, the stall that exceeds rpcbind's time-out, and the shield did occur.
        #expect(storm.outcome.lost > 0 && storm.outcome.refused > 0 && storm.outcome.strangersDropped > 0)
    }
}
