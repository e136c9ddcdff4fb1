import CNetfilter
import Glibc

/// One message from the kernel; valid until the socket receives again.
struct NetlinkMessage {
    let type: Int32
    let flags: Int32
    let sequence: UInt32
    let portID: UInt32
    let payload: UnsafeRawBufferPointer

    /// nfnetlink's attributes, which follow `struct nfgenmsg`.
    var netfilterAttributes: Attributes { Attributes(payload.dropping(MemoryLayout<nfgenmsg>.size)) }
}

/// Iterates over the messages of one `recv`; stops at the first incomplete one.
struct NetlinkMessages: Sequence, IteratorProtocol {
    private var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    mutating func next() -> NetlinkMessage? {
        let headerSize = MemoryLayout<nlmsghdr>.size
        guard rest.count >= headerSize else { return nil }
        let header = rest.loadUnaligned(as: nlmsghdr.self)
        let length = Int(header.nlmsg_len)
        guard length >= headerSize, length <= rest.count else { return nil }
        let payload = UnsafeRawBufferPointer(rebasing: rest[headerSize..<length])
        rest = rest.dropping((length + 3) & ~3)
        return NetlinkMessage(
            type: Int32(header.nlmsg_type), flags: Int32(header.nlmsg_flags), sequence: header.nlmsg_seq,
            portID: header.nlmsg_pid, payload: payload)
    }
}

/// The content of an NLMSG_ERROR message, or of the end of a dump.
struct Acknowledgement {
    /// 0: success.
    let errno: Int32
    let text: String
    /// Offset of the attribute that the kernel objects to, from the start of the request's header.
    let attributeOffset: Int?

    init(error message: NetlinkMessage) {
        errno = Self.errno(message)
        // struct nlmsgerr: the error, then the header of the request, and its payload unless NLM_F_CAPPED.
        let header = message.payload.dropping(4)
        var request = MemoryLayout<nlmsghdr>.size
        if message.flags & NLM_F_CAPPED == 0, let length = header.native(UInt32.self) {
            request = max(request, (Int(length) + 3) & ~3)
        }
        var extended: String?
        var offset: UInt32?
        if message.flags & NLM_F_ACK_TLVS != 0 {
            for attribute in Attributes(header.dropping(request)) {
                switch attribute.type {
                case NLMSGERR_ATTR_MSG.rawValue: extended = attribute.payload.text
                case NLMSGERR_ATTR_OFFS.rawValue: offset = attribute.payload.native(UInt32.self)
                default: break
                }
            }
        }
        text = errorText(errno, extended)
        attributeOffset = offset.map(Int.init)
    }

    init(done message: NetlinkMessage) {
        errno = Self.errno(message)
        text = errorText(errno)
        attributeOffset = nil
    }

    private static func errno(_ message: NetlinkMessage) -> Int32 {
        let negative = message.payload.native(Int32.self) ?? 0
        return negative == .min ? EPROTO : abs(negative)
    }
}
