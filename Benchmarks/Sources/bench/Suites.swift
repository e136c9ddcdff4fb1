/// What scripts/bench can measure, in this order.
let allSuites: [(name: String, measure: @Sendable (Bench) throws -> SuiteResult)] = [
    (ThroughputSuite.name, ThroughputSuite.measure),
    (LatencySuite.name, LatencySuite.measure),
    (GrantSuite.name, GrantSuite.measure),
    (DenialSuite.name, DenialSuite.measure),
    (MicroSuite.name, MicroSuite.measure),
    (SizeSuite.name, SizeSuite.measure),
    (DataPathSuite.name, DataPathSuite.measure),
    (GrowthSuite.name, GrowthSuite.measure),
    (StormSuite.name, StormSuite.measure),
]
