import Foundation
import Testing

/// Three members of etcd, in three hosts around the server, which routes between them.
struct FleetCluster {
    static let members: [(host: Lab.Host, address: String)] = [
        (.limited, "10.77.3.2"), (.approved, "10.77.1.2"), (.stranger, "10.77.4.2"),
    ]

    let lab: Lab
    private var store: FleetStore { FleetStore(lab: lab) }

    static func endpoint(_ address: String) -> String { "https://\(address):2379" }

    func start() async throws {
        _ = try lab.exec(.server, "sysctl", "-w", "net.ipv4.ip_forward=1")
        try store.makeCertificates(for: Self.members.map(\.address) + [FleetStore.address])
        let cluster = Self.members.map { "\($0.host)=http://\($0.address):2380" }.joined(separator: ",")
        for (host, address) in Self.members {
            try lab.spawn(
                host, name(host),
                [
                    "etcd", "--name", "\(host)", "--data-dir", "\(store.folder)/data-\(host)",
                    "--listen-client-urls", "https://0.0.0.0:2379", "--advertise-client-urls",
                    Self.endpoint(address), "--cert-file", "\(store.folder)/server.pem", "--key-file",
                    "\(store.folder)/server.key", "--listen-peer-urls", "http://\(address):2380",
                    "--initial-advertise-peer-urls", "http://\(address):2380", "--initial-cluster", cluster,
                    "--log-level", "error",
                ])
        }
        try await eventually("the members have a leader") {
            try store.etcdctl("endpoint", "health").isSuccess
        }
    }

    func name(_ host: Lab.Host) -> String { "etcd-\(host)" }

    /// The member and the others hear nothing of each other; this server reaches each of them.
    func cutOff(_ address: String) throws {
        let table =
            "table inet cut { chain forward { type filter hook forward priority 0; "
            + "ip saddr \(address) drop; ip daddr \(address) drop; }; }"
        let output = try lab.exec(.server, "nft", table)
        try #require(output.isSuccess, "\(output)")
    }
}
