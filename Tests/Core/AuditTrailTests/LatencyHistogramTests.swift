import AuditTrail
import Clock
import Testing

@Suite("latency histogram") struct LatencyHistogramTests {
    @Test(
        "a bound belongs to the bucket that it ends",
        arguments: [
            (.zero, 0), (.microseconds(10), 0), (.nanoseconds(10_001), 1), (.milliseconds(1), 10),
            (.seconds(1), 19), (.nanoseconds(1_000_000_001), 20), (.seconds(Int64.max), 20), (.seconds(-1), 0),
        ] as [(Duration, Int)])
    func buckets(duration: Duration, bucket: Int) {
        var histogram = LatencyHistogram()
        histogram.observe(from: .zero, to: .zero + duration)
        #expect(histogram.counts.firstIndex(of: 1) == bucket)
        #expect(histogram.counts.count == LatencyHistogram.boundsMicroseconds.count + 1)
    }
}
