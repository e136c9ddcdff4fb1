import NIOCore
import ONCRPC
import Testing

@testable import PortmapServer

@Suite("owed replies")
struct OwedRepliesTests {
    @Test("are looked at once much was written, and the greediest must go until the rest is within the limit")
    func greediest() {
        var owed = OwedReplies()
        #expect(!owed.isLookDue)
        owed.wrote(OwedReplies.bytesMax)
        #expect(owed.isLookDue)
        let share = OwedReplies.bytesMax / 4
        #expect(owed.looked([1: share, 2: share, 3: 100, 4: share / 2]) == [])
        #expect(!owed.isLookDue)
        #expect(owed.looked([1: share, 2: share, 3: share + 1, 4: share - 1, 5: 9, 6: 2 * share]) == [6, 3])
        #expect(owed.looked([UInt64: Int]()) == [])
    }

    @Test("of a listing are in memory once, however many are sent it; records are what they were")
    func shared() throws {
        var records = ReplyRecords()
        let listing = [UInt8](repeating: 7, count: ReplyRecords.sharedBytesMin)
        var addresses: Set<UnsafeRawPointer> = []
        for xid in UInt32(1)...3 {
            let reply = Reply(xid: xid, body: .success(listing))
            let (first, rest) = records.buffers(for: reply)
            let body = try #require(rest)
            body.withUnsafeReadableBytes { if let base = $0.baseAddress { addresses.insert(base) } }
            var reader = RecordReader(recordBytesMax: 1 << 20)
            let bytes = Array(first.readableBytesView) + Array(body.readableBytesView)
            #expect(bytes.withUnsafeBytes { reader.feed($0) } == [reply.encoded])
        }
        #expect(addresses.count == 1)
        let other = records.buffers(for: Reply(xid: 9, body: .success(listing.map { $0 + 1 })))
        #expect(other.rest?.readableBytesView.first == 8)
        for small in [Reply(xid: 4, body: .success([1, 2, 3, 4])), Reply(xid: 5, body: .authError(.failed))] {
            let (first, rest) = records.buffers(for: small)
            #expect(rest == nil && Array(first.readableBytesView.dropFirst(4)) == small.encoded)
        }
    }
}
