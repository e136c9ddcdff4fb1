import Testing

@testable import Activity

@Suite("What changed between two reports") struct ObservationTests {
    private func observation(_ values: [(seconds: Int, calls: Int)], startedAt: [String] = []) -> Observation {
        var observation = Observation()
        for (index, value) in values.enumerated() {
            observation.reported(
                Samples.report(at: value.seconds) {
                    $0.decisions = ["permitted": value.calls]
                    if index < startedAt.count { $0.startedAt = startedAt[index] }
                })
        }
        return observation
    }

    @Test("one report tells no rate")
    func first() {
        #expect(observation([(10, 100)]).rate { $0.calls } == nil)
        #expect(observation([(10, 100)]).callRates == [])
    }

    @Test("a rate is by the daemon's own clock, however late the answer")
    func rates() {
        #expect(observation([(10, 100), (14, 140)]).rate { $0.calls } == 10)
        #expect(observation([(10, 100), (14, 140), (15, 140)]).rate { $0.calls } == 0)
        #expect(observation([(10, 100), (14, 140), (15, 141)]).callRates == [10, 1])
    }

    @Test("a daemon that was started anew counts from zero: no rate until its second report")
    func restart() {
        #expect(observation([(10, 100), (14, 140), (1, 5)], startedAt: ["a", "a", "b"]).rate { $0.calls } == nil)
        #expect(observation([(10, 100), (14, 140)], startedAt: ["a", "b"]).rate { $0.calls } == nil)
        #expect(observation([(10, 100), (1, 5), (2, 9)], startedAt: ["a", "b", "b"]).rate { $0.calls } == 4)
    }

    @Test("the kernel's counters begin anew with the table")
    func drops() {
        let reports = [50, 80, 6].enumerated().map { index, count in
            Samples.report(at: 2 * index) { $0.dropped = ["guarded": UInt64(count)] }
        }
        #expect(Samples.observation(reports[0], reports[1]).droppedRate("guarded") == 15)
        #expect(Samples.observation(reports[1], reports[2]).droppedRate("guarded") == 3)
        #expect(
            Samples.observation(reports[0], Samples.report(at: 9) { $0.dropped = nil }).droppedRate("guarded") == nil)
    }

    @Test("latency is that of the interval alone: mean, and the bounds that hold half and 99 of 100")
    func latency() throws {
        let observation = Samples.observation(
            Samples.report(at: 0) { $0.upstream = Samples.latency([1000, 0, 0], sum: .milliseconds(5)) },
            Samples.report(at: 2) { $0.upstream = Samples.latency([1000, 98, 1, 1], sum: .milliseconds(9)) })
        let latency = try #require(observation.latency { $0.upstream })
        #expect(latency.count == 100 && latency.mean == .microseconds(40))
        #expect(latency.quantile(0.5) == .atMost(microseconds: 100))
        #expect(latency.quantile(0.99) == .atMost(microseconds: 1000))
        #expect(latency.quantile(1) == .moreThan(microseconds: 1000))
        #expect(Samples.latency([]).quantile(0.5) == nil && Samples.latency([]).mean == nil)
    }

    @Test("the source that is denied most in the interval comes first, then the latest")
    func sources() {
        let observation = Samples.observation(
            Samples.report(at: 0) {
                $0.sources = [Samples.source("a", 5000), Samples.source("b", 10), Samples.source("c", 1, last: 50)]
            },
            Samples.report(at: 2) {
                $0.sources = [
                    Samples.source("c", 1, last: 52), Samples.source("a", 5002), Samples.source("d", 2000, last: 5),
                    Samples.source("b", 30), Samples.source("e", 6),
                ]
                $0.sources[2].count = 0
            })
        #expect(observation.sources.map(\.client) == ["b", "e", "a", "d", "c"])
        #expect(observation.rate(of: observation.sources[0]) == 10)
        #expect(observation.rate(of: observation.sources[1]) == 3, "it is new")
    }

    @Test("of a source that the report before had no room for, no rate is known")
    func crowdedOut() {
        let observation = Samples.observation(
            Samples.report(at: 0) {
                $0.sources = [Samples.source("a", 5)]
                $0.sourceCount = 2
            }, Samples.report(at: 2) { $0.sources = [Samples.source("b", 5000)] })
        #expect(observation.rate(of: observation.sources[0]) == nil)
    }

    @Test("the busiest grants come first, and are watched; of those seen again later the rate since then is told")
    func grants() {
        let observation = Samples.observation(
            Samples.report(at: 0) { $0.grants = [Samples.grant("a", 100), Samples.grant("b", 9000)] },
            Samples.report(at: 10) { $0.grants = [Samples.grant("b", 9000), Samples.grant("c", 50)] },
            Samples.report(at: 20) {
                $0.grants = [Samples.grant("b", 9000), Samples.grant("a", 300), Samples.grant("d", 1)]
            })
        #expect(observation.grants.map(\.key.client) == ["a", "b", "d"])
        #expect(observation.grants.map { observation.rate(of: $0) } == [10, 0, nil])
        #expect(observation.watched.map(\.client) == ["a", "b", "d"])
    }

    @Test("a grant that was issued anew counts from zero")
    func reissued() {
        let observation = Samples.observation(
            Samples.report(at: 0) { $0.grants = [Samples.grant("a", 100)] },
            Samples.report(at: 2) { $0.grants = [Samples.grant("a", 8)] })
        #expect(observation.rate(of: observation.grants[0]) == 4)
    }

    @Test("no more grants are watched than the daemon looks at by name")
    func watchedMax() {
        let observation = Samples.observation(
            Samples.report(at: 0) { $0.grants = (0..<200).map { Samples.grant("\($0)", 1) } })
        #expect(observation.watched.count == ActivityReport.watchedMax)
    }

    @Test("no answer leaves what was known, and the next answer ends it")
    func failure() {
        var observation = Samples.busy
        observation.failed("gone")
        #expect(observation.failure == "gone" && observation.report != nil)
        observation.reported(Samples.report(at: 100_004))
        #expect(observation.failure == nil)
    }

    @Test("a grant has no rate between two runs of the daemon, however long the later one has been up")
    func grantAcrossRuns() {
        let grant = Samples.grant("10.77.1.2", 100)
        func observation(startedAt: String) -> Observation {
            Samples.observation(
                Samples.report(at: 10) { $0.grants = [Samples.grant("10.77.1.2", 50)] },
                Samples.report(at: 60) { ($0.grants, $0.startedAt) = ([grant], startedAt) })
        }
        #expect(observation(startedAt: "1").rate(of: grant) == 1)
        #expect(observation(startedAt: "2").rate(of: grant) == nil)
    }
}
