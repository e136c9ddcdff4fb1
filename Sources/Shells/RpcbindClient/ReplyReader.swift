import ONCRPC
import Portmapper

/// Puts rpcbind's replies together from its stream's bytes: a short one as a whole, a long listing as it comes.
///
/// ```
/// whole ──more than wholeBytesMax──▶ streamed ──the record's end──▶ whole
/// ```
/// The number of fragments is rpcbind's own affair, and so is the length: a listing is as long as local users make it.
struct ReplyReader {
    enum Message: Hashable {
        /// A reply as it came.
        case whole([UInt8])
        /// A listing that was decoded as it came; `nil` if it was none.
        case listing(xid: UInt32, Listing?)
    }

    /// What is kept of one reply. A listing of some thousand registrations fits, and mostly is the same as the last.
    static let wholeBytesMax = 512 << 10

    private let trusted: Set<String>
    private var fragments = FragmentReader()
    private var bytes: [UInt8] = []
    private var streamed: (xid: UInt32, decoder: ListingDecoder)?

    /// - Parameter trusted: the owners whose registrations are kept first.
    init(trusted: Set<String>) {
        self.trusted = trusted
    }

    /// Takes the next bytes of the stream; returns what they complete.
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
                // No listing: the word makes the decoder faulty.
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
