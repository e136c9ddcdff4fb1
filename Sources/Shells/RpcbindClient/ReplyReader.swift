import ONCRPC
import Portmapper

/// Assembles a portmapper's replies from the bytes of its stream: a short reply as a whole, a long listing decoded as
/// it arrives.
///
/// ```
/// whole ──more than wholeBytesMax──▶ streamed ──the record's end──▶ whole
/// ```
/// Neither the number of fragments nor the length is limited here: a listing is as long as local users make it.
struct ReplyReader {
    enum Message: Hashable {
        /// A whole reply.
        case whole([UInt8])
        /// A listing that was decoded as it arrived; `nil` if the reply was no listing.
        case listing(xid: UInt32, Listing?)
    }

    /// The limit for a reply kept whole. A listing of some thousand registrations fits, and is mostly the same as
    /// the last.
    static let wholeBytesMax = 512 << 10

    private let trusted: TrustedOwners
    private var fragments = FragmentReader()
    private var bytes: [UInt8] = []
    /// The decoder is `nil` for a message that answers no DUMP.
    private var streamed: (xid: UInt32, decoder: ListingDecoder?)?

    /// - Parameter trusted: owners; their registrations are kept first.
    init(trusted: TrustedOwners) {
        self.trusted = trusted
    }

    /// Takes the next bytes of the stream; returns the messages that they complete.
    /// - Parameter version: of the DUMP with this xid; `nil` if no DUMP with this xid awaits its reply.
    mutating func feed(
        _ stream: UnsafeRawBufferPointer, version: (_ xid: UInt32) -> PortmapperVersion?
    ) -> [Message] {
        var messages: [Message] = []
        var fragments = fragments
        fragments.feed(stream) { part, isLast in
            take(part, version)
            if isLast { messages.append(takeMessage()) }
        }
        self.fragments = fragments
        return messages
    }

    private mutating func take(_ part: UnsafeRawBufferPointer, _ version: (UInt32) -> PortmapperVersion?) {
        if streamed != nil {
            streamed?.decoder?.feed(part)
            return
        }
        bytes.append(contentsOf: part)
        guard bytes.count > Self.wholeBytesMax else { return }
        streamed = bytes.withUnsafeBytes { whole in
            let header = Reply.successHeader(whole)
            guard let header, let version = version(header.xid) else { return (header?.xid ?? 0, nil) }
            var decoder = ListingDecoder(trusted: trusted, version: version)
            decoder.feed(UnsafeRawBufferPointer(rebasing: whole[header.byteCount...]))
            return (header.xid, decoder)
        }
        bytes = []
    }

    private mutating func takeMessage() -> Message {
        defer {
            bytes = []
            streamed = nil
        }
        guard let streamed else { return .whole(bytes) }
        return .listing(xid: streamed.xid, streamed.decoder?.result)
    }
}
