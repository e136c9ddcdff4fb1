import ONCRPC
import TestSupport
import Testing

/// A fragment with its header.
private func fragment(_ bytes: [UInt8], isLast: Bool = true) -> [UInt8] {
    xdr(RecordReader.header(forRecordBytes: bytes.count) & (isLast ? UInt32.max : 0x7fff_ffff)) + bytes
}

private func record(_ parts: [UInt8]...) -> [UInt8] {
    parts.indices.flatMap { fragment(parts[$0], isLast: $0 == parts.count - 1) }
}

extension RecordReader {
    fileprivate mutating func feed(_ bytes: [UInt8]) -> [[UInt8]] { bytes.withUnsafeBytes { feed($0) } }

    fileprivate mutating func feed(_ stream: [UInt8], inPiecesOf count: Int) -> [[UInt8]] {
        var records: [[UInt8]] = []
        for start in stride(from: 0, to: stream.count, by: count) {
            records += feed(Array(stream[start..<min(start + count, stream.count)]))
        }
        return records
    }
}

@Suite("record reader") struct RecordReaderTests {
    private static let limit = 64

    @Test("faults as soon as a header announces too much", arguments: [65, 4096, 0x7fff_ffff])
    func announcedTooLong(count: Int) {
        for isLast in [true, false] {
            var reader = RecordReader(recordBytesMax: Self.limit)
            let header = UInt32(count) | (isLast ? 0x8000_0000 : 0)
            #expect(reader.feed(Array(xdr(header).prefix(3))) == [])
            #expect(reader.fault == nil)
            #expect(reader.feed(Array(xdr(header).suffix(1))) == [])
            #expect(reader.fault == .tooLong(bytes: count, limit: Self.limit))
        }
    }

    @Test("faults when fragments together announce too much")
    func fragmentsTooLong() {
        var reader = RecordReader(recordBytesMax: 8)
        #expect(reader.feed(fragment([1, 2, 3, 4, 5], isLast: false)) == [])
        #expect(reader.feed(xdr(0x8000_0003)) == [])
        #expect(reader.fault == nil)
        reader = RecordReader(recordBytesMax: 8)
        #expect(reader.feed(fragment([1, 2, 3, 4, 5], isLast: false) + xdr(0x8000_0004)) == [])
        #expect(reader.fault == .tooLong(bytes: 9, limit: 8))
    }

    @Test("a record of any number of fragments is put together, within the limit")
    func manyFragments() {
        let full = Array(repeating: fragment([7], isLast: false), count: Self.limit - 1).flatMap(\.self)
        var reader = RecordReader(recordBytesMax: Self.limit)
        for _ in 0..<3 {
            #expect(reader.feed(full + fragment([8])) == [Array(repeating: 7, count: Self.limit - 1) + [8]])
        }
        #expect(reader.fault == nil)
        #expect(reader.feed(full + fragment([7], isLast: false) + fragment([8])) == [])
        #expect(reader.fault == .tooLong(bytes: Self.limit + 1, limit: Self.limit))
    }

    @Test("empty fragments count by their headers, so that they can't go on for ever")
    func emptyFragments() {
        var reader = RecordReader(recordBytesMax: Self.limit)
        for _ in 0..<Self.limit / 4 { #expect(reader.feed(xdr(0)) == []) }
        #expect(reader.fault == nil)
        #expect(reader.feed(xdr(0)) == [])
        #expect(reader.fault == .endless(limit: Self.limit))
        // The limit applies to each record separately.
        reader = RecordReader(recordBytesMax: Self.limit)
        for _ in 0..<100 { #expect(reader.feed(record([], [], [], [1])) == [[1]]) }
    }

    @Test("takes one record at a time, and leaves the bytes behind it")
    func oneAtATime() {
        let stream = record([1]) + record([2], [3]) + xdr(0x8000_0002).prefix(3)
        var reader = RecordReader(recordBytesMax: Self.limit)
        stream.withUnsafeBytes { bytes in
            var rest = bytes[...]
            #expect(reader.takeRecord(from: &rest) == [1])
            #expect(rest.count == stream.count - 5)
            #expect(reader.takeRecord(from: &rest) == [2, 3])
            #expect(reader.takeRecord(from: &rest) == nil)
            #expect(rest.isEmpty && reader.isInsideRecord)
        }
    }

    @Test("a fault is for good")
    func stickyFault() {
        var reader = RecordReader(recordBytesMax: Self.limit)
        _ = reader.feed(xdr(0x8000_1000))
        let fault = reader.fault
        #expect(fault != nil)
        for _ in 0..<3 { #expect(reader.feed(record([1, 2, 3, 4])) == []) }
        #expect(reader.fault == fault)
    }

    @Test("records before a fault in the same segment are returned")
    func recordsBeforeFault() {
        var reader = RecordReader(recordBytesMax: Self.limit)
        let stream = record([1]) + record([2], [3]) + xdr(UInt32.max) + record([4])
        #expect(reader.feed(stream) == [[1], [2, 3]])
        #expect(reader.fault == .tooLong(bytes: 0x7fff_ffff, limit: Self.limit))
    }

    @Test("the limit itself is within the limit")
    func atLimit() {
        var reader = RecordReader(recordBytesMax: Self.limit)
        let most = [UInt8](repeating: 9, count: Self.limit)
        #expect(reader.feed(record(most)) == [most])
        #expect(reader.feed(record([], most, [])) == [most])
        #expect(reader.fault == nil)
    }

    static let streams: [(stream: [UInt8], records: [[UInt8]])] = [
        ([], []),
        (record([]), [[]]),
        (record([1]), [[1]]),
        (record([1, 2, 3, 4]), [[1, 2, 3, 4]]),
        (record([1, 2, 3, 4, 5], [6, 7], [8]), [[1, 2, 3, 4, 5, 6, 7, 8]]),
        (record([], [], [1], []), [[1]]),
        (record([], []), [[]]),
        (record([1]) + record([2, 2]) + record([]) + record([3], [3, 3]), [[1], [2, 2], [], [3, 3, 3]]),
        (record(Array(0..<60)), [Array(0..<60)]),
    ]

    @Test("the cut of the stream makes no difference", arguments: streams)
    func anyCut(stream: [UInt8], records: [[UInt8]]) {
        for count in 1...max(stream.count, 1) {
            var reader = RecordReader(recordBytesMax: Self.limit)
            #expect(reader.feed(stream, inPiecesOf: count) == records)
            #expect(reader.fault == nil)
            #expect(!reader.isInsideRecord)
        }
    }

    @Test("is inside a record from its first byte to the one before its last", arguments: streams)
    func insideRecord(stream: [UInt8], records: [[UInt8]]) {
        var reader = RecordReader(recordBytesMax: Self.limit)
        #expect(!reader.isInsideRecord)
        for byte in stream {
            let done = reader.feed([byte])
            #expect(reader.isInsideRecord == done.isEmpty)
        }
    }

    @Test("random records in random fragments and random segments arrive whole", arguments: 0..<200 as Range<UInt64>)
    func random(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        var stream: [UInt8] = []
        var expected: [[UInt8]] = []
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            var whole: [UInt8] = []
            let count = Int.random(in: 1...8, using: &random)
            for index in 0..<count {
                let part = random.bytes(count: Int.random(in: 0...8, using: &random))
                stream += fragment(part, isLast: index == count - 1)
                whole += part
            }
            expected.append(whole)
        }
        var reader = RecordReader(recordBytesMax: Self.limit)
        var records: [[UInt8]] = []
        while !stream.isEmpty {
            let count = Int.random(in: 1...stream.count, using: &random)
            records += reader.feed(Array(stream.prefix(count)))
            stream.removeFirst(count)
        }
        #expect(records == expected)
        #expect(!reader.isInsideRecord)
    }

    @Test("random bytes never trap", arguments: 0..<50 as Range<UInt64>)
    func noise(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        var reader = RecordReader(recordBytesMax: Self.limit)
        for _ in 0..<40 {
            let bytes = random.bytes(count: 8).map { $0 & (seed.isMultiple(of: 2) ? 0x83 : 0xff) }
            #expect(reader.feed(bytes).allSatisfy { $0.count <= Self.limit })
        }
    }

    @Test("a record that is sent is one last fragment")
    func header() {
        #expect(RecordReader.header(forRecordBytes: 0) == 0x8000_0000)
        #expect(RecordReader.header(forRecordBytes: 40) == 0x8000_0028)
    }
}
