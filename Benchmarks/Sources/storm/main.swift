/// storm CLIENTS SEED: prints what came of it as JSON.
let words = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
var plan = StormPlan()
plan.clients = words.first.map { Int($0) } ?? plan.clients
plan.seed = words.dropFirst().first ?? 1
let clock = ContinuousClock()
var storm = BootStorm(plan)
let elapsed = clock.measure { storm.run() }
let outcome = storm.outcome
let violations = outcome.violations.map { "\"\($0)\"" }.joined(separator: ", ")
print(
    """
    {"clients": \(plan.clients), "seconds": \(outcome.seconds), "sent": \(outcome.sent), \
    "retransmitted": \(outcome.retransmitted), "lost": \(outcome.lost), "overflowed": \(outcome.overflowed), \
    "refused": \(outcome.refused), "strangersDropped": \(outcome.strangersDropped), "commits": \(outcome.commits), \
    "grants": \(outcome.grants), "mostUnderWay": \(outcome.mostUnderWay), "p50": \(outcome.wait(0.5)), \
    "p99": \(outcome.wait(0.99)), "longest": \(outcome.wait(1)), "ran": \(elapsed / .seconds(1)), \
    "violations": [\(violations)]}
    """)
