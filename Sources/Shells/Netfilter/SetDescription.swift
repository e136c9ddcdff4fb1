import CNetfilter
import Firewall

/// A set to be made, as a libnftnl object.
struct SetDescription: ~Copyable {
    let set: OpaquePointer

    init(table: String, name: String, id: UInt32, fields: [KeyField], flags: UInt32) {
        guard let set = nftnl_set_alloc() else { fatalError("out of memory") }
        self.set = set
        nftnl_set_set_str(set, UInt16(NFTNL_SET_TABLE.rawValue), table)
        nftnl_set_set_str(set, UInt16(NFTNL_SET_NAME.rawValue), name)
        nftnl_set_set_u32(set, UInt16(NFTNL_SET_ID.rawValue), id)
        nftnl_set_set_u32(set, UInt16(NFTNL_SET_FLAGS.rawValue), flags)
        nftnl_set_set_u32(set, UInt16(NFTNL_SET_KEY_TYPE.rawValue), KeyField.keyType(fields))
        nftnl_set_set_u32(set, UInt16(NFTNL_SET_KEY_LEN.rawValue), UInt32(KeyField.keyBytes(fields)))
        if flags & NFT_SET_CONCAT.rawValue != 0 {
            let lengths = fields.map { UInt8($0.bytes) }
            nftnl_set_set_data(set, UInt16(NFTNL_SET_DESC_CONCAT.rawValue), lengths, UInt32(lengths.count))
        }
    }

    deinit {
        nftnl_set_free(set)
    }

    func limit(_ size: Int) {
        nftnl_set_set_u32(set, UInt16(NFTNL_SET_DESC_SIZE.rawValue), UInt32(clamping: size))
    }

    func expire(after timeout: Duration) {
        nftnl_set_set_u64(set, UInt16(NFTNL_SET_TIMEOUT.rawValue), timeout.kernelMilliseconds)
    }

    func countPerElement() {
        guard let counter = nftnl_expr_alloc("counter") else { fatalError("out of memory") }
        nftnl_set_add_expr(set, counter)
    }

    func limitPerElement(_ rate: PacketRate) {
        guard let limit = nftnl_expr_alloc("limit") else { fatalError("out of memory") }
        rate.describe(limit)
        nftnl_set_add_expr(set, limit)
    }

    func note(_ userdata: [UInt8]) {
        nftnl_set_set_data(set, UInt16(NFTNL_SET_USERDATA.rawValue), userdata, UInt32(userdata.count))
    }
}
