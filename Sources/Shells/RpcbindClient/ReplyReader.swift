import ONCRPC
import Portmapper

/// Assembles rpcbind's replies from the bytes of its stream: a short reply as a whole, a long listing decoded as
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

    private let trusted: Set<String>
    private var fragments = FragmentReader()
    private var bytes: [UInt8] = []
    private var streamed: (xid: UInt32, decoder: ListingDecoder)?

    /// - Parameter trusted: owners; their registrations are kept first.
    init(trusted: Set<String>) {
        self.trusted = trusted
    }

    /// Takes the next bytes of the stream; returns the messages that they complete.
    mutating func feed(_ stream: UnsafeRawBufferPointer) -> [Message] {
        var messages: [Message] = []
        var fragments = fragments
        fragments.feed(stream) { part, isLast in
            take(part)
            if isLast { messages.append(takeMessage()) }
        }
        self.fragments = fragments
        return messages
    }

    private mutating func take(_ part: UnsafeRawBufferPointer) {
        if streamed != nil {
            streamed?.decoder.feed(part)
            return
        }
        bytes.append(contentsOf: part)
        guard bytes.count > Self.wholeBytesMax else { return }
        var decoder = ListingDecoder(trusted: trusted)
        var xid: UInt32 = 0
        bytes.withUnsafeBytes { whole in
            guard let header = Reply.successHeader(whole) else {
                // Not a listing: this word makes the decoder faulty.
                return withUnsafeBytes(of: UInt32.max) { decoder.feed($0) }
            }
            xid = header.xid
            decoder.feed(UnsafeRawBufferPointer(rebasing: whole[header.byteCount...]))
        }
        bytes = []
        streamed = (xid, decoder)
    }

    private mutating func takeMessage() -> Message {
        defer {
            bytes = []
            streamed = nil
        }
        guard let streamed else { return .whole(bytes) }
        return .listing(xid: streamed.xid, streamed.decoder.result)
    }
}
