import Addresses
import AuditTrail
import Firewall

// Labels only hold rpcwarden's own words: never a peer's address, or anything else that a peer chose.

extension MetricsSnapshot {
    var families: [MetricFamily] {
        [process, rpcbind, fleetLink, fleetPolicy, servers, calls, grants, latencies, table, droppedPackets, log]
            .flatMap { $0 }
    }

    private var process: [MetricFamily] {
        [
            .gauge("build_info", "Always 1; the label tells the version.", [.init("version", version, 1)]),
            MetricFamily(
                name: "start_time_seconds", kind: .gauge, unit: "seconds",
                help: "When the daemon started, in seconds since 1970.",
                samples: [.init(value: .seconds(Double(startedAt.milliseconds) / 1000))]),
            .gauge("enforcing", "1: mode enforce; 0: mode observe.", gauges.isEnforcing),
            .gauge("registrations", "What rpcbind has registered.", gauges.registrations),
            .gauge("connections", "TCP connections to the portmapper.", gauges.connections),
            .gauge("connections_limit", "limits.tcp-connections.", gauges.connectionsMax),
            .counter(
                "connections_crowded_out", "Connections that had to go for want of a place.", counters.crowdedOut),
        ]
    }

    /// A gateway may have no rpcbind; nobody must be called because of that.
    private var rpcbind: [MetricFamily] {
        guard gauges.needsRpcbind else { return [] }
        return [.gauge("rpcbind_up", "Whether rpcbind answered when it was asked last.", gauges.isRpcbindUp == true)]
    }

    private var fleetLink: [MetricFamily] {
        guard let fleet else { return [] }
        let limit = fleet.grantsMax.map { max in
            MetricFamily.gauge("fleet_grants_limit", "fleet.pair.grants: of foreign and waiting grants together.", max)
        }
        return (limit.map { [$0] } ?? []) + [
            .gauge("fleet_sidecar_up", "Whether rpcwarden-fleet is connected to the daemon.", fleet.isSidecarHere),
            .gauge("fleet_connected", "Whether the fleet's store is reached.", fleet.isConnected),
            .gauge("fleet_foreign_grants", "Grants of other nodes that are open here.", fleet.gauges.grants),
            .gauge(
                "fleet_waiting_grants", "Grants of other nodes whose services are not alive here.", fleet.gauges.waiting
            ),
            .gauge("fleet_foreign_quarantines", "Quarantines of other nodes.", fleet.gauges.quarantines),
            .gauge("fleet_queue", "Records of this node that the store doesn't have yet.", fleet.queue),
            .gauge("fleet_untold", "Messages that rpcwarden-fleet has not read yet.", fleet.untold),
            .counter(
                "fleet_resyncs", "Times at which rpcwarden-fleet read too slowly, and was told everything anew.",
                fleet.resyncs),
        ]
    }

    private var fleetPolicy: [MetricFamily] {
        guard let bundle else { return [] }
        let serial = MetricFamily.gauge(
            "fleet_policy_serial", "The serial of the fleet's policy in force.",
            [.init("group", bundle.group, Int(clamping: bundle.serial))])
        guard let end = bundle.notAfter else { return [serial] }
        return [
            serial,
            MetricFamily(
                name: "fleet_policy_not_after_seconds", kind: .gauge, unit: "seconds",
                help: "Until when the fleet's policy is right, in seconds since 1970.",
                samples: [.init(value: .seconds(Double(end.milliseconds) / 1000))]),
        ]
    }

    /// The servers behind this gateway, by their names in the configuration.
    private var servers: [MetricFamily] {
        guard !gauges.servers.isEmpty else { return [] }
        let samples = { (value: (ServerGauges) -> Int) in
            gauges.servers.map { MetricFamily.Sample("server", $0.name, value($0)) }
        }
        return [
            .gauge(
                "server_rpcbind_up", "Whether the server's portmapper answered when it was asked last.",
                samples { $0.portmapper == .up ? 1 : 0 }),
            .gauge("server_registrations", "What the server's portmapper has registered.", samples(\.registrations)),
            .gauge(
                "server_guarded_ports", "The server's ports that are closed but to whom they were opened.",
                samples(\.guarded)),
            .gauge("server_grants", "Live grants at the server.", samples(\.grants)),
        ]
    }

    private var calls: [MetricFamily] {
        let samples = counters.outcomes.map { outcome, count in
            MetricFamily.Sample(
                labels: [
                    ("decision", outcome.decision.rawValue), ("reason", outcome.reason?.rawValue ?? ""),
                    ("procedure", outcome.procedure?.rawValue ?? "unknown"), ("transport", "\(outcome.transport)"),
                ], value: .count(count))
        }
        return [
            .counter(
                "calls", "Calls by what was decided; observed: answered, though enforce would have denied.",
                samples.sorted { $0.labels.map(\.value).lexicographicallyPrecedes($1.labels.map(\.value)) }),
            .counter("duplicate_calls", "Retransmissions of calls under way.", counters.duplicates),
            .gauge("calls_under_way", "Calls that wait for rpcbind or the kernel.", gauges.callsUnderWay),
        ]
    }

    private var grants: [MetricFamily] {
        [
            .counter(
                "grant_operations", "What happened to grants.",
                [
                    .init("operation", "granted", counters.granted), .init("operation", "renewed", counters.renewed),
                    .init("operation", "expired", counters.expired), .init("operation", "revoked", counters.revoked),
                ]),
            .gauge("grants", "Live grants.", gauges.grants),
            .gauge("grants_limit", "limits.grants.", gauges.grantsMax),
            .gauge("grants_remembered", "Expired grants that their client's packet would revive.", gauges.remembered),
        ]
    }

    private var latencies: [MetricFamily] {
        [
            .histogram(
                "upstream_duration_seconds", "From a question to rpcbind's answer, waiting for its turn included.",
                counters.upstreamLatency),
            .counter("upstream_failures", "Questions that rpcbind did not answer.", counters.upstreamFailures),
            .histogram(
                "commit_duration_seconds", "From a transaction to the kernel's acknowledgement or refusal.",
                counters.commitLatency),
            .counter("commit_failures", "Transactions that the kernel refused.", counters.commitFailures),
        ]
    }

    private var table: [MetricFamily] {
        [
            .gauge("table_in_place", "Whether the firewall table is as it should be.", gauges.isTableInPlace),
            .gauge("guarded_ports", "Service ports that are closed but to whom they were opened.", gauges.guarded),
            .gauge(
                "orphaned_ports", "Guarded ports whose mapping is gone, and whose socket still listens.",
                gauges.orphaned),
            .gauge(
                "unguardable_registrations", "Registrations over RDMA, which no packet filter sees.",
                gauges.unguardable),
            .gauge(
                "omitted_registrations", "Registrations beyond the limits, mostly of untrusted owners.",
                gauges.omitted),
            .gauge("standing_elements", "Clients and ports that are open always.", gauges.standing),
            .gauge("quarantined_clients", "Clients in quarantine.", gauges.quarantined),
            .gauge(
                "shielded", "Whether the kernel drops strangers in front of the portmapper.",
                [Transport.tcp, .udp].map {
                    .init("transport", "\($0)", gauges.shielded.contains($0) ? 1 : 0)
                }),
        ]
    }

    /// The kernel counts since the table was made: a table made anew resets the counters.
    private var droppedPackets: [MetricFamily] {
        guard let drops else { return [] }
        let count = { (count: UInt64) in Int(clamping: count) }
        return [
            .counter(
                "dropped_packets", "Packets that the kernel dropped by our rules; in mode observe, would have dropped.",
                [
                    .init("cause", "guarded", count(drops.guarded)),
                    .init("cause", "quarantined", count(drops.quarantined)),
                    .init("cause", "shielded", count(drops.strangers)),
                ]),
            .counter(
                "drop_reports_lost",
                "Dropped packets that the kernel could not report: neither a grant nor a probe came of them.",
                count(drops.unreported)),
        ]
    }

    private var log: [MetricFamily] {
        [
            .counter(
                "events", "Audit events by kind, whether or not they were written.",
                AuditEvent.Kind.allCases.map { .init("event", $0.rawValue, counters.events[$0]) }),
            .counter("audit_suppressed", "Audit events that a rate limit swallowed.", counters.suppressed),
            .counter("audit_lost", "Audit events that the log did not take.", auditLost),
        ]
    }
}
