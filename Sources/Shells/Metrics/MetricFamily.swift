import AuditTrail

/// One metric with the samples for all its label values.
struct MetricFamily {
    enum Kind: String {
        case counter, gauge, histogram
    }

    struct Sample {
        /// `_bucket`, `_count` or `_sum`; a counter's `_total` is added elsewhere.
        var suffix = ""
        var labels: [(name: String, value: String)] = []
        var value: Value
    }

    enum Value {
        case count(Int)
        case seconds(Double)
    }

    /// The name without `rpcwarden_`, and without the `_total` of counters.
    var name: String
    var kind: Kind
    var unit: String?
    var help: String
    var samples: [Sample]

    static func counter(_ name: String, _ help: String, _ samples: [Sample]) -> Self {
        Self(name: name, kind: .counter, help: help, samples: samples)
    }

    static func counter(_ name: String, _ help: String, _ count: Int) -> Self {
        counter(name, help, [Sample(value: .count(count))])
    }

    static func gauge(_ name: String, _ help: String, _ samples: [Sample]) -> Self {
        Self(name: name, kind: .gauge, help: help, samples: samples)
    }

    static func gauge(_ name: String, _ help: String, _ count: Int) -> Self {
        gauge(name, help, [Sample(value: .count(count))])
    }

    /// A gauge for a condition: 1 or 0.
    static func gauge(_ name: String, _ help: String, _ holds: Bool) -> Self {
        gauge(name, help, holds ? 1 : 0)
    }

    static func histogram(_ name: String, _ help: String, _ histogram: LatencyHistogram) -> Self {
        var samples: [Sample] = []
        var count = 0
        for (index, inBucket) in histogram.counts.enumerated() {
            count += inBucket
            let bounds = LatencyHistogram.boundsMicroseconds
            // A Double's description has the form that OpenMetrics calls canonical: 1e-05, 0.0001, 1.0.
            let bound = index < bounds.count ? "\(Double(bounds[index]) / 1_000_000)" : "+Inf"
            samples.append(Sample(suffix: "_bucket", labels: [("le", bound)], value: .count(count)))
        }
        samples.append(
            Sample(suffix: "_sum", value: .seconds(Double(histogram.sum.nanoseconds) / 1_000_000_000)))
        samples.append(Sample(suffix: "_count", value: .count(count)))
        return Self(name: name, kind: .histogram, unit: "seconds", help: help, samples: samples)
    }
}

extension MetricFamily.Sample {
    init(_ label: String, _ value: String, _ count: Int) {
        self.init(labels: [(label, value)], value: .count(count))
    }
}
