import CNetfilter

/// A field of a set's key, with its properties for the kernel and for `nft`.
enum KeyField {
    case address4, address6, transport, port
    /// The packet's destination: a server behind this gateway, or a client that a server calls back.
    case destination4, destination6

    var bytes: Int {
        switch self {
        case .address4, .destination4: 4
        case .address6, .destination6: 16
        case .transport: 1
        case .port: 2
        }
    }

    /// In a concatenation each field fills whole registers of 4 bytes.
    static func keyBytes(_ fields: [KeyField]) -> Int {
        fields.count == 1 ? fields[0].bytes : fields.reduce(0) { $0 + ($1.bytes + 3) & ~3 }
    }

    /// `enum datatypes` of nftables: ipv4_addr, ipv6_addr, inet_proto, inet_service.
    private var datatype: UInt32 {
        switch self {
        case .address4, .destination4: 7
        case .address6, .destination6: 8
        case .transport: 12
        case .port: 13
        }
    }

    /// NFTA_SET_KEY_TYPE: six bits a field. Without it `nft list ruleset` 1.0.6 segfaults.
    static func keyType(_ fields: [KeyField]) -> UInt32 {
        fields.reduce(0) { $0 << 6 | $1.datatype }
    }

    /// The expression in nft's own encoding, from which `nft list` prints `typeof ip saddr . meta l4proto …`.
    private var typeof: [UInt8] {
        switch self {
        // EXPR_PAYLOAD 7 with the protocol's descriptor and the field: ip 12 saddr 11, ip6 13 saddr 8, th 11 dport 2;
        // ip daddr 12, ip6 daddr 9.
        case .address4: Userdata.expression(7, Userdata.number(0, 12) + Userdata.number(1, 11))
        case .address6: Userdata.expression(7, Userdata.number(0, 13) + Userdata.number(1, 8))
        case .destination4: Userdata.expression(7, Userdata.number(0, 12) + Userdata.number(1, 12))
        case .destination6: Userdata.expression(7, Userdata.number(0, 13) + Userdata.number(1, 9))
        case .port: Userdata.expression(7, Userdata.number(0, 11) + Userdata.number(1, 2))
        // EXPR_META 9 with NFT_META_L4PROTO.
        case .transport: Userdata.expression(9, Userdata.number(0, NFT_META_L4PROTO.rawValue))
        }
    }

    static func typeof(_ fields: [KeyField]) -> [UInt8] {
        if fields.count == 1 { return fields[0].typeof }
        var parts: [UInt8] = []
        for (index, field) in fields.enumerated() { parts += Userdata.record(UInt8(index), field.typeof) }
        return Userdata.expression(13, parts)  // EXPR_CONCAT
    }
}
