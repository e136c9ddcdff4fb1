import CNetfilter

/// How many packets a rule lets pass in the long run, and at once.
struct PacketRate {
    let packetsPerSecond: UInt64
    let burstPackets: UInt32

    /// Of one expired grant, so that no client, nor a forger of its address, takes all of `remembered`. TCP sends a SYN
    /// again after 1, 3 and 7 seconds.
    static let rememberedClient = Self(packetsPerSecond: 2, burstPackets: 5)
    /// Of all expired grants of an address family: 200 clients a second come back, 400 at once, a few µs of work each.
    static let remembered = Self(packetsPerSecond: 200, burstPackets: 400)
    /// Of everybody else: enough to see who tries which port, too little to be a load.
    static let probes = Self(packetsPerSecond: 10, burstPackets: 50)
    /// Of the strangers whom the kernel drops in front of the portmapper: enough to see who floods, and with what.
    static let strangers = Self(packetsPerSecond: 50, burstPackets: 100)
    /// Of admitted packets, in each address family: each renews its grant and is counted, which is some 0.5 µs of work.
    /// A burst takes the slow path first, so larger bursts slow short transfers.
    static let admitted = Self(packetsPerSecond: 10_000, burstPackets: 200)
}

extension PacketRate {
    /// Fills in an expression `limit`; with `isOver` it goes on when the rate is reached, not until then.
    func describe(_ limit: OpaquePointer, isOver: Bool = false) {
        nftnl_expr_set_u64(limit, UInt16(NFTNL_EXPR_LIMIT_RATE), packetsPerSecond)
        nftnl_expr_set_u64(limit, UInt16(NFTNL_EXPR_LIMIT_UNIT), 1)  // seconds
        nftnl_expr_set_u32(limit, UInt16(NFTNL_EXPR_LIMIT_BURST), burstPackets)
        nftnl_expr_set_u32(limit, UInt16(NFTNL_EXPR_LIMIT_TYPE), NFT_LIMIT_PKTS.rawValue)
        if isOver { nftnl_expr_set_u32(limit, UInt16(NFTNL_EXPR_LIMIT_FLAGS), NFT_LIMIT_F_INV.rawValue) }
    }
}
