import CNetfilter
import Firewall
import Portmapper

/// The sets of our table; the raw value is the set's name.
enum TableSet: String, CaseIterable {
    case guarded, granted4, granted6, standing4, standing6, quarantined4, quarantined6

    static func granted(_ client: IPAddress) -> Self { client.isIPv4 ? .granted4 : .granted6 }
    static func standing(_ client: IPAddress) -> Self { client.isIPv4 ? .standing4 : .standing6 }
    static func quarantined(_ client: IPAddress) -> Self { client.isIPv4 ? .quarantined4 : .quarantined6 }

    /// The fields that the key is concatenated of.
    var fields: [KeyField] {
        switch self {
        case .guarded: [.transport, .port]
        case .granted4, .standing4: [.address4, .transport, .port]
        case .granted6, .standing6: [.address6, .transport, .port]
        case .quarantined4: [.address4]
        case .quarantined6: [.address6]
        }
    }

    var keyBytes: Int { KeyField.keyBytes(fields) }

    var flags: UInt32 {
        switch self {
        case .guarded: 0
        case .granted4, .granted6: NFT_SET_EVAL.rawValue | NFT_SET_TIMEOUT.rawValue
        case .standing4, .standing6: NFT_SET_INTERVAL.rawValue | NFT_SET_CONCAT.rawValue
        case .quarantined4, .quarantined6: NFT_SET_TIMEOUT.rawValue
        }
    }

    var countsPerElement: Bool {
        switch self {
        case .granted4, .granted6, .quarantined4, .quarantined6: true
        case .guarded, .standing4, .standing6: false
        }
    }

    func sizeMax(_ shape: TableShape) -> Int? {
        switch self {
        case .granted4, .granted6: shape.grantsMax
        case .quarantined4, .quarantined6: shape.quarantinesMax
        case .guarded, .standing4, .standing6: nil
        }
    }

    var comment: String {
        switch self {
        case .guarded: "ports of RPC services; closed but for the sets below"
        case .granted4, .granted6: "open to clients that asked; use renews"
        case .standing4, .standing6: "open: always"
        case .quarantined4, .quarantined6: "kept from the portmapper"
        }
    }
}

/// A field of a set's key, with what the kernel and `nft` must know of it.
enum KeyField {
    case address4, address6, transport, port

    var bytes: Int {
        switch self {
        case .address4: 4
        case .address6: 16
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
        case .address4: 7
        case .address6: 8
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
        // EXPR_PAYLOAD 7 with the protocol's descriptor and the field: ip 12 saddr 11, ip6 13 saddr 8, th 11 dport 2.
        case .address4: Userdata.expression(7, Userdata.number(0, 12) + Userdata.number(1, 11))
        case .address6: Userdata.expression(7, Userdata.number(0, 13) + Userdata.number(1, 8))
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

/// nft's notes to itself, kept by the kernel: records of a type byte, a length byte and a value.
enum Userdata {
    /// Longer comments are cut: the length byte's limit is 255, nft's own is 128 with the final zero.
    static let commentBytesMax = 127

    static func record(_ type: UInt8, _ value: [UInt8]) -> [UInt8] {
        precondition(value.count <= UInt8.max, "a record's length has 8 bits")
        return [type, UInt8(value.count)] + value
    }

    static func number(_ type: UInt8, _ value: UInt32) -> [UInt8] {
        record(type, withUnsafeBytes(of: value) { Array($0) })
    }

    static func expression(_ kind: UInt32, _ data: [UInt8]) -> [UInt8] {
        number(0, kind) + record(1, data)
    }

    /// A comment with its final zero, cut between characters.
    static func comment(_ type: UInt8, _ text: String) -> [UInt8] {
        record(type, Array(cut(text).utf8) + [0])
    }

    /// As much of `text` as fits in ``commentBytesMax``, without zeros, line ends and quotes: nft could not read them back.
    static func cut(_ text: String) -> String {
        var kept = String.UnicodeScalarView()
        var bytes = 0
        for scalar in text.unicodeScalars {
            let safe: Unicode.Scalar = scalar.value < 0x20 || scalar.value == 0x7f || scalar == "\"" ? "?" : scalar
            bytes += UTF8.width(safe)
            guard bytes <= commentBytesMax else { break }
            kept.append(safe)
        }
        return String(kept)
    }

    /// The comment in what the kernel gave back.
    static func comment(in bytes: UnsafeRawBufferPointer, type: UInt8 = 0) -> String? {
        var rest = bytes
        while rest.count >= 2, rest.count >= 2 + Int(rest[1]) {
            if rest[0] == type { return UnsafeRawBufferPointer(rebasing: rest[2..<(2 + Int(rest[1]))]).text }
            rest = rest.dropping(2 + Int(rest[1]))
        }
        return nil
    }
}
