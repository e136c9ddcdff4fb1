/// The suites of scripts/bench, in the order of their execution.
let allSuites: [(name: String, measure: @Sendable (Bench) throws -> SuiteResult)] = [
    (ThroughputSuite.name, ThroughputSuite.measure),
    (LatencySuite.name, LatencySuite.measure),
    (GrantSuite.name, GrantSuite.measure),
    (DenialSuite.name, DenialSuite.measure),
    (MicroSuite.name, MicroSuite.measure),
    (SizeSuite.name, SizeSuite.measure),
    (DataPathSuite.name, DataPathSuite.measure),
    (GatewaySuite.name, GatewaySuite.measure),
    (GrowthSuite.name, GrowthSuite.measure),
    (StormSuite.name, StormSuite.measure),
    (ReportSuite.name, ReportSuite.measure),
]
