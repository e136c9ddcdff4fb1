import AuditTrail
import Clock
import Firewall
import Testing

@testable import Metrics

@Suite("metrics' text")
struct ExpositionTests {
    private static func text(_ families: [MetricFamily], _ exposition: Exposition = .prometheus) -> String {
        String(decoding: exposition.text(families), as: UTF8.self)
    }

    @Test("the two formats differ in counters' names, units and the end")
    func formats() {
        let families = [
            MetricFamily.counter("calls", "Calls.", [.init("decision", "denied", 3)]),
            MetricFamily(
                name: "start_time_seconds", kind: .gauge, unit: "seconds", help: "Start.",
                samples: [.init(value: .seconds(1.5))]),
        ]
        #expect(
            Self.text(families) == """
                # HELP rpcwarden_calls_total Calls.
                # TYPE rpcwarden_calls_total counter
                rpcwarden_calls_total{decision="denied"} 3
                # HELP rpcwarden_start_time_seconds Start.
                # TYPE rpcwarden_start_time_seconds gauge
                rpcwarden_start_time_seconds 1.5

                """)
        #expect(
            Self.text(families, .openMetrics) == """
                # HELP rpcwarden_calls Calls.
                # TYPE rpcwarden_calls counter
                rpcwarden_calls_total{decision="denied"} 3
                # HELP rpcwarden_start_time_seconds Start.
                # TYPE rpcwarden_start_time_seconds gauge
                # UNIT rpcwarden_start_time_seconds seconds
                rpcwarden_start_time_seconds 1.5
                # EOF

                """)
    }

    @Test("label values and help are escaped")
    func escaping() {
        let family = MetricFamily.gauge("x", "a\\b\n\"c\"", [.init("label", "a\\b\n\"c\"é", 1)])
        #expect(
            Self.text([family]) == """
                # HELP rpcwarden_x a\\\\b\\n"c"
                # TYPE rpcwarden_x gauge
                rpcwarden_x{label="a\\\\b\\n\\"c\\"é"} 1

                """)
        #expect(Self.text([family], .openMetrics).contains("# HELP rpcwarden_x a\\\\b\\n\\\"c\\\"\n"))
    }

    @Test("a histogram's buckets add up, and its bounds are written as Prometheus does")
    func histogram() {
        var histogram = LatencyHistogram()
        for duration in [Duration.zero, .microseconds(10), .nanoseconds(10_001), .milliseconds(1), .seconds(3)] {
            histogram.observe(from: .zero, to: .zero + duration)
        }
        let text = Self.text([.histogram("d_seconds", "D.", histogram)])
        for line in [
            #"_bucket{le="1e-05"} 2"#, #"_bucket{le="2.5e-05"} 3"#, #"_bucket{le="0.0005"} 3"#,
            #"_bucket{le="0.001"} 4"#, #"_bucket{le="1.0"} 4"#, #"_bucket{le="+Inf"} 5"#, "_sum 3.001020001",
            "_count 5",
        ] {
            #expect(text.contains("\nrpcwarden_d_seconds\(line)\n"), "\(line)\n\(text)")
        }
    }

    private static func snapshot() -> MetricsSnapshot {
        var counters = Counters()
        counters.outcomes[CallOutcome(.permitted, .dump, over: .tcp)] = 2
        counters.outcomes[CallOutcome(.denied, nil, over: .udp, .stranger)] = 7
        counters.granted = 4
        counters.events[.tampered] = 1
        var gauges = Gauges()
        gauges.isTableInPlace = true
        gauges.shielded = [.udp]
        var drops = DropCounts()
        (drops.guarded, drops.strangers, drops.unreported) = (11, UInt64.max, 7)
        return MetricsSnapshot(
            version: "1.2.3", startedAt: Timestamp(milliseconds: 1_763_726_403_250), counters: counters,
            gauges: gauges, drops: drops, auditLost: 5)
    }

    @Test("a snapshot's numbers are told under their names")
    func snapshotText() {
        let text = String(decoding: Exposition.prometheus.text(Self.snapshot()), as: UTF8.self)
        for line in [
            #"rpcwarden_build_info{version="1.2.3"} 1"#, "rpcwarden_start_time_seconds 1763726403.25",
            #"rpcwarden_calls_total{decision="permitted",reason="",procedure="dump",transport="tcp"} 2"#,
            #"rpcwarden_calls_total{decision="denied",reason="stranger",procedure="unknown",transport="udp"} 7"#,
            #"rpcwarden_grant_operations_total{operation="granted"} 4"#, "rpcwarden_table_in_place 1",
            #"rpcwarden_events_total{event="tampered"} 1"#, #"rpcwarden_events_total{event="restored"} 0"#,
            #"rpcwarden_shielded{transport="udp"} 1"#, #"rpcwarden_shielded{transport="tcp"} 0"#,
            #"rpcwarden_dropped_packets_total{cause="guarded"} 11"#, "rpcwarden_drop_reports_lost_total 7",
            #"rpcwarden_dropped_packets_total{cause="shielded"} 9223372036854775807"#,
            "rpcwarden_rpcbind_up 0", "rpcwarden_audit_lost_total 5",
        ] {
            #expect(text.contains("\n\(line)\n"), "\(line)\n\(text)")
        }
    }

    @Test("a gateway that needs no rpcbind tells of none, rather than of one that is down")
    func noRpcbind() {
        var snapshot = Self.snapshot()
        snapshot.gauges.needsRpcbind = false
        #expect(!String(decoding: Exposition.prometheus.text(snapshot), as: UTF8.self).contains("rpcbind_up"))
    }

    @Test("drops that can't be read are left out, rather than told as none")
    func unreadable() {
        var snapshot = Self.snapshot()
        snapshot.drops = nil
        #expect(!String(decoding: Exposition.prometheus.text(snapshot), as: UTF8.self).contains("dropped_packets"))
    }
}
