/// What scripts/bench can measure, in this order.
let allSuites: [(name: String, measure: @Sendable (Bench) throws -> SuiteResult)] = [
    (ThroughputSuite.name, ThroughputSuite.measure),
    (LatencySuite.name, LatencySuite.measure),
    (MicroSuite.name, MicroSuite.measure),
]
