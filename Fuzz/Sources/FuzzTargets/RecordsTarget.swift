import ONCRPC

extension FuzzTarget {
    /// A TCP stream: it gives the same records however it is split.
    static let records = FuzzTarget(name: "records", allocationFactor: 32) { bytes in
        for limit in [64, 4096] {
            let whole = Reading(bytes, limit: limit) { bytes.count }
            var random = Cuts(bytes)
            require(whole == Reading(bytes, limit: limit) { 1 }, "byte by byte it reads differently")
            require(whole == Reading(bytes, limit: limit) { random.next() }, "in pieces it reads differently")
            require(whole.records.allSatisfy { $0.count <= limit }, "a record beyond the limit of \(limit)")
            require(whole.records.joined().count <= bytes.count, "more came out than went in")
            checkWritten(whole.records, limit: limit)
        }
    }
}

/// Records written with one fragment each are read back unchanged.
private func checkWritten(_ records: [[UInt8]], limit: Int) {
    var encoder = XDREncoder()
    for record in records {
        encoder.uint32(RecordReader.header(forRecordBytes: record.count))
        encoder.raw(record)
    }
    let stream = encoder.bytes
    let again = stream.withUnsafeBytes { raw in Reading(raw, limit: limit) { raw.count } }
    require(again.records == records && again.fault == nil && !again.isInsideRecord, "records don't survive")
}

private struct Reading: Equatable {
    var records: [[UInt8]] = []
    var fault: RecordFault?
    var isInsideRecord: Bool

    init(_ stream: UnsafeRawBufferPointer, limit: Int, piece: () -> Int) {
        var reader = RecordReader(recordBytesMax: limit)
        var rest = stream[...]
        while !rest.isEmpty {
            let part = rest.prefix(piece())
            records += reader.feed(UnsafeRawBufferPointer(rebasing: part))
            rest = rest.dropFirst(part.count)
        }
        fault = reader.fault
        isInsideRecord = reader.isInsideRecord
    }
}

/// Lengths of 1 to 16 derived from the bytes, so that one input reproduces a finding.
private struct Cuts {
    private var state: UInt64 = 0xcbf2_9ce4_8422_2325

    init(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes { state = (state ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }

    mutating func next() -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 60) + 1
    }
}
