/// Findings about NFS over RDMA, which no packet filter sees.
extension Examination {
    var remoteMemory: [Finding] {
        guard facts.isRunning else { return [] }
        // "rdma 20049", as the kernel's nfsd lists its listeners.
        let listeners = facts.nfsdListeners.filter { $0.hasPrefix("rdma") }
        let places = listeners + facts.rdmaRegistrations.filter { !listeners.contains($0) }
        guard !places.isEmpty else { return [] }
        return [
            Finding(
                "rdma-unguarded", .medium,
                what:
                    "NFS over RDMA is served (\(Self.list(places))), and no packet filter can guard it",
                why: """
                    RDMA bypasses nftables, and with it rpcwarden's guard. Any host that reaches the adapter reaches the \
                    service, and only the server's exports restrict it.
                    """,
                mend: [
                    "# if it is not needed: in /etc/nfs.conf, [nfsd]: rdma=n; then:", "systemctl restart nfs-server",
                    "# if it is needed: admit only NFS clients to the fabric (partitions, VLANs, the switches' access lists),",
                    "# and name them in /etc/exports by address",
                ])
        ]
    }
}
