import ArgumentParser
import Console
import FleetRecords

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show how the sidecar stands with the daemon and with etcd.",
        discussion: """
            With --synced it prints nothing unless it is asked to, and exits 0 if everything that there was in the store \
            and at this node when they met is read and written, else 1: keepalived's track_script can call it.
            """)

    @OptionGroup var sidecar: SidecarOption
    @OptionGroup var json: JSONFlag

    @Flag(help: "Exit 1 unless this node is in step with the fleet.")
    var synced = false

    func run() throws {
        var isSynced = false
        do {
            try sidecar.ask(.status) { line, status in
                isSynced = status.flag("synced") ?? false
                if json.isOn {
                    print(String(decoding: line, as: UTF8.self))
                } else if !synced {
                    print(Table(Self.rows(status)).text)
                }
            }
        } catch let failure as CommandFailure where synced && failure.code == ExitStatus.unreachable {
            throw CommandFailure(message: failure.message, code: ExitStatus.denied)
        }
        if synced, !isSynced { throw CommandFailure(message: nil, code: ExitStatus.denied) }
    }

    private static func rows(_ status: JSONObject) -> [[String]] {
        let isConnected = status.flag("connected") ?? false
        var rows = [
            ["fleet", status.cell("fleet")], ["node", status.cell("node")], ["version", status.cell("version")],
            ["daemon", status.flag("daemon") ?? false ? "here" : "AWAY"],
            [
                "etcd",
                "\(isConnected ? "connected" : "AWAY") since \(status.cell("since"))"
                    + (status.text("detail").map { ": \($0)" } ?? ""),
            ],
            ["in step", status.cell("synced")], ["queue", status.cell("queue")], ["pair", status.cell("pair")],
        ]
        if status.flag("name_shared") == true { rows[1][1] += ": ANOTHER HOST WRITES AS IT, TOO" }
        if let group = status.text("group") {
            let refusal = status.text("policy_refused").map { "; REFUSED: \($0)" } ?? ""
            rows.append(["policy", "serial \(status.cell("serial")) of group \(group)\(refusal)"])
        }
        let named = Set([
            "fleet", "node", "version", "daemon", "connected", "since", "synced", "queue", "detail", "pair", "group",
            "serial", "policy_refused", "name_shared",
        ])
        return rows
            + status.names.filter { !named.contains($0) }.sorted().map { [$0, status.cell($0)] }
    }
}

struct Nodes: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the nodes of the fleet, and which of them are silent.",
        discussion: "A node is silent when etcd has not heard it for 30 s; this node must have seen it before.")

    @OptionGroup var sidecar: SidecarOption
    @OptionGroup var json: JSONFlag

    @Flag(help: "Print targets for Prometheus: file_sd_configs, or http_sd_configs.")
    var prometheusSd = false

    @Option(help: ArgumentHelp("The port of the targets (metrics in rpcwarden.yaml).", valueName: "port"))
    var metricsPort: UInt16 = 9811

    func run() throws {
        guard !prometheusSd else { return try printTargets() }
        let list = Listing(
            question: .nodes,
            columns: [
                ("NODE", "node"), ("SILENT", "silent"), ("SEEN", "seen"), ("MODE", "mode"), ("POLICY", "serial"),
                ("GRANTS", "grants"), ("DENIALS 1H", "denials_1h"), ("VERSION", "version"), ("SINCE", "since"),
            ])
        try list.run(sidecar, asJSON: json.isOn)
    }

    private func printTargets() throws {
        var targets: [String] = []
        try sidecar.ask(.nodes) { _, node in
            let name = node.cell("node")
            var labels = JSONWriter()
            labels.text("node", name)
            labels.text("mode", node.cell("mode"))
            let text = String(decoding: labels.bytes, as: UTF8.self)
            targets.append("{\"targets\":[\"\(name):\(metricsPort)\"],\"labels\":\(text)}")
        }
        print("[" + targets.joined(separator: ",\n ") + "]")
    }
}

struct Grants: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the grants of this node's pair: its own, and those of the other nodes.",
        discussion: """
            own: issued here. copy: another node's, offered to the daemon here. foreign: another node's, not offered. \
            ended: revoked, and kept until it would have expired.
            """)

    @OptionGroup var sidecar: SidecarOption
    @OptionGroup var json: JSONFlag

    func run() throws {
        let list = Listing(
            question: .grants,
            columns: [
                ("CLIENT", "client"), ("PROGRAM", "program"), ("OVER", "transport"), ("NODE", "node"),
                ("STATE", "state"), ("ISSUED", "issued"), ("USED", "used"), ("EXPIRES", "expires"), ("RULE", "rule"),
            ])
        try list.run(sidecar, asJSON: json.isOn)
    }
}

struct Quarantines: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the quarantines of this node and of the others, and which are in force here.")

    @OptionGroup var sidecar: SidecarOption
    @OptionGroup var json: JSONFlag

    func run() throws {
        let list = Listing(
            question: .quarantines,
            columns: [
                ("CLIENT", "client"), ("NODE", "node"), ("FROM", "from"), ("UNTIL", "until"),
                ("EVIDENCE", "evidence"), ("DENIALS", "denials"), ("IN FORCE", "in_force"),
            ])
        try list.run(sidecar, asJSON: json.isOn)
    }
}
