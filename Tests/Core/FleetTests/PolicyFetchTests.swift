import Bundles
import Clock
import Fleet
import FleetRecords
import TestSupport
import Testing

@Suite("fetching a policy") struct PolicyFetchTests {
    private func announcement(_ serial: UInt64, bytes: Int = PolicyAnnouncement.pieceBytes + 1) -> PolicyAnnouncement {
        PolicyAnnouncement(serial: serial, sha256: String(repeating: "a", count: 64), bytes: bytes, notAfter: nil)
    }

    private let piece = [UInt8](repeating: 1, count: PolicyAnnouncement.pieceBytes)

    @Test("reads piece after piece, stores the whole, and tells the daemon")
    func whole() {
        var fetch = PolicyFetch(onDisk: 3)
        #expect(fetch.announced(announcement(4), at: at(0)) == .read(serial: 4, piece: 0))
        #expect(fetch.pieceRead(piece, at: at(0)) == .read(serial: 4, piece: 1))
        #expect(fetch.pieceRead([2], at: at(0)) == .store(piece + [2], announcement(4)))
        #expect(fetch.serial == 3)
        #expect(fetch.stored(at: at(0)) == [.tell(serial: 4)])
        #expect(fetch.serial == 4)
    }

    @Test("never reads a serial that is on the disk, or a lower one", arguments: [1, 3] as [UInt64])
    func older(serial: UInt64) {
        var fetch = PolicyFetch(onDisk: 3)
        #expect(fetch.announced(announcement(serial), at: at(0)) == nil)
    }

    @Test("tells of a lower serial, until one is announced that isn't")
    func olderIsTold() {
        var fetch = PolicyFetch(onDisk: 3)
        _ = fetch.announced(announcement(2), at: at(0))
        #expect(fetch.refusal == "serial 2 is older than 3, which is on the disk")
        _ = fetch.announced(announcement(3), at: at(0))
        #expect(fetch.refusal == nil)
    }

    @Test("refuses pieces that aren't as announced", arguments: [nil, [], [UInt8](repeating: 0, count: 11)])
    func wrongPieces(bytes: [UInt8]?) {
        var fetch = PolicyFetch(onDisk: 0)
        _ = fetch.announced(announcement(1, bytes: 10), at: at(0))
        #expect(fetch.pieceRead(bytes, at: at(0)) == nil)
        #expect(fetch.refusal == "piece 0 of serial 1 is not as announced")
    }

    @Test("refuses a bundle that ends before its announced length")
    func short() {
        var fetch = PolicyFetch(onDisk: 0)
        _ = fetch.announced(announcement(1, bytes: 10), at: at(0))
        #expect(fetch.pieceRead([1], at: at(0)) == nil)
        #expect(fetch.refusal == "serial 1 has fewer bytes than announced")
    }

    @Test("tries a refused one again after 30 s, and forgets the refusal when it is stored")
    func retry() {
        var fetch = PolicyFetch(onDisk: 0)
        _ = fetch.announced(announcement(1, bytes: 1), at: at(0))
        _ = fetch.pieceRead([1], at: at(0))
        fetch.refused("signed by nobody", at: at(0))
        #expect(fetch.timeAdvanced(at: at(29_999)) == nil)
        #expect(fetch.timeAdvanced(at: at(30_000)) == .read(serial: 1, piece: 0))
        #expect(fetch.timeAdvanced(at: at(30_001)) == nil)
        _ = fetch.pieceRead([1], at: at(30_001))
        #expect(fetch.refusal == "signed by nobody")
        _ = fetch.stored(at: at(30_002))
        #expect(fetch.refusal == nil)
    }

    @Test("another one that is announced after a refusal waits 1 s, not 30")
    func announcedAfterRefusal() {
        var fetch = PolicyFetch(onDisk: 0)
        _ = fetch.announced(announcement(1, bytes: 1), at: at(0))
        _ = fetch.pieceRead([1], at: at(0))
        fetch.refused("signed by nobody", at: at(0))
        #expect(fetch.announced(announcement(2, bytes: 1), at: at(5000)) == nil)
        #expect(fetch.timeAdvanced(at: at(5999)) == nil)
        #expect(fetch.timeAdvanced(at: at(6000)) == .read(serial: 2, piece: 0))
    }

    @Test("takes the newest of those that are announced meanwhile")
    func meanwhile() {
        var fetch = PolicyFetch(onDisk: 0)
        _ = fetch.announced(announcement(1, bytes: 1), at: at(0))
        #expect(fetch.announced(announcement(2, bytes: 1), at: at(0)) == nil)
        #expect(fetch.announced(announcement(3, bytes: 1), at: at(0)) == nil)
        #expect(fetch.pieceRead(nil, at: at(0)) == nil)
        #expect(fetch.timeAdvanced(at: at(999)) == nil)
        #expect(fetch.timeAdvanced(at: at(1000)) == .read(serial: 3, piece: 0))
        _ = fetch.pieceRead([1], at: at(1000))
        #expect(fetch.announced(announcement(4, bytes: 1), at: at(0)) == nil)
        #expect(fetch.stored(at: at(0)) == [.tell(serial: 3), .read(serial: 4, piece: 0)])
    }

    @Test("reads no more than one a second of a store that announces any number of bad ones")
    func many() {
        var fetch = PolicyFetch(onDisk: 0)
        var reads = 0
        func count(_ action: PolicyFetch.Action?) { if case .read? = action { reads += 1 } }
        for time in stride(from: 0, to: 10_000, by: 10) {
            count(fetch.announced(announcement(UInt64(time + 1), bytes: 1), at: at(Int64(time))))
            count(fetch.announced(announcement(UInt64(time + 2), bytes: 1), at: at(Int64(time))))
            count(fetch.pieceRead(nil, at: at(Int64(time + 5))))
            count(fetch.timeAdvanced(at: at(Int64(time + 9))))
        }
        #expect((9...11).contains(reads), "\(reads)")
    }

    @Test("tells once of lower serials, however many there are")
    func manyOlder() {
        var fetch = PolicyFetch(onDisk: 9)
        for serial in [2, 5, 3] as [UInt64] { _ = fetch.announced(announcement(serial), at: at(0)) }
        #expect(fetch.refusal == "serial 2 is older than 9, which is on the disk")
    }

    @Test("begins anew after the store was away")
    func storeLost() {
        var fetch = PolicyFetch(onDisk: 0)
        _ = fetch.announced(announcement(1), at: at(0))
        _ = fetch.pieceRead(piece, at: at(0))
        fetch.storeLost()
        #expect(fetch.pieceRead([1], at: at(0)) == nil)
        #expect(fetch.announced(announcement(1), at: at(0)) == .read(serial: 1, piece: 0))
    }
}

@Suite("signed orders in the store") struct OrderBookTests {
    @Test("are handed on once, and again to a new daemon")
    func once() {
        var book = OrderBook()
        #expect(book.put("a", Array("text".utf8))?.text == "text")
        #expect(book.put("a", Array("text".utf8)) == nil)
        #expect(book.entries.map(\.id) == ["a"])
        book.delete("a")
        #expect(book.entries == [])
    }

    /// Numbered from one to another, and read as a whole.
    private func read(_ numbers: Range<Int>, into book: inout OrderBook, isWhole: Bool = true) -> Int {
        book.readingBegan()
        let count = numbers.count { book.put("n\($0)", [65]) != nil }
        book.readingEnded(isWhole: isWhole)
        return count
    }

    @Test("that ended while the store was away keep no places, and those that are still there aren't handed on again")
    func storeAway() {
        var book = OrderBook()
        #expect(read(0..<1024, into: &book) == 1024 && book.refused == 0)
        #expect(read(1000..<2024, into: &book) == 1000 && book.refused == 0)
        #expect(book.count == 1024)
        #expect(read(2000..<2024, into: &book) == 0)
        #expect(book.entries.map(\.id) == (2000..<2024).map { "n\($0)" })
        #expect(book.put("n3000", [65]) != nil, "the watch brings one")
        #expect(book.count == 25)
    }

    @Test("of which a reading brought a part only stay, and that is counted")
    func part() {
        var book = OrderBook()
        #expect(read(0..<10, into: &book) == 10)
        #expect(read(10..<20, into: &book, isWhole: false) == 10)
        #expect(book.count == 20 && book.refused == 1)
    }

    @Test("are refused beyond 2,048 bytes, if they are no text, and beyond 1,024")
    func bounds() {
        var book = OrderBook()
        #expect(book.put("a", [UInt8](repeating: 65, count: FleetOrder.bytesMax + 1)) == nil)
        #expect(book.put("a", [0xff]) == nil)
        for number in 0..<1100 { _ = book.put("n\(number)", [65]) }
        #expect(book.count == FleetOrder.countMax && book.refused == 2 + 76)
    }
}
