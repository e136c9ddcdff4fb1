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
                    "NFS over RDMA is served (\(places.joined(separator: ", "))), which can't be guarded by any packet filter",
                why: """
                    RDMA goes from adapter to memory, past nftables and so past rpcwarden's guard: whoever reaches the \
                    adapter reaches the service, and its exports alone say who may.
                    """,
                mend: [
                    "# not needed: in /etc/nfs.conf, [nfsd]: rdma=n; then:", "systemctl restart nfs-server",
                    "# needed: let only hosts that may use NFS into the fabric (partitions, VLANs, the switches' lists),",
                    "# and name them in /etc/exports by address",
                ])
        ]
    }
}
