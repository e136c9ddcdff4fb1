import CNetfilter

/// The rate of packets that a rule lets pass in the long run, and the burst that it lets pass at once.
struct PacketRate {
    let packetsPerSecond: UInt64
    let burstPackets: UInt32

    /// For one expired grant, so that no client, and no forger of its address, uses up all of `remembered`. TCP
    /// repeats a SYN after 1, 3 and 7 seconds.
    static let rememberedClient = Self(packetsPerSecond: 2, burstPackets: 5)
    /// For all expired grants of an address family: 200 clients a second are revived, 400 at once, with a few µs
    /// of work each.
    static let remembered = Self(packetsPerSecond: 200, burstPackets: 400)
    /// For all other clients: enough to see which clients try which ports, too little to be a load.
    static let probes = Self(packetsPerSecond: 10, burstPackets: 50)
    /// For strangers' packets that the kernel drops in front of the portmapper: enough to see the source and kind
    /// of a flood.
    static let strangers = Self(packetsPerSecond: 50, burstPackets: 100)
    /// For admitted packets, in each address family: each renews its grant and is counted, which is some 0.5 µs of
    /// work. A burst takes the slow path first, so larger bursts slow short transfers.
    static let admitted = Self(packetsPerSecond: 10_000, burstPackets: 200)
}

extension PacketRate {
    /// Fills in a `limit` expression. Without `isOver` the rule goes on below the rate; with it, above the rate.
    func describe(_ limit: OpaquePointer, isOver: Bool = false) {
        nftnl_expr_set_u64(limit, UInt16(NFTNL_EXPR_LIMIT_RATE), packetsPerSecond)
        nftnl_expr_set_u64(limit, UInt16(NFTNL_EXPR_LIMIT_UNIT), 1)  // seconds
        nftnl_expr_set_u32(limit, UInt16(NFTNL_EXPR_LIMIT_BURST), burstPackets)
        nftnl_expr_set_u32(limit, UInt16(NFTNL_EXPR_LIMIT_TYPE), NFT_LIMIT_PKTS.rawValue)
        if isOver { nftnl_expr_set_u32(limit, UInt16(NFTNL_EXPR_LIMIT_FLAGS), NFT_LIMIT_F_INV.rawValue) }
    }
}
