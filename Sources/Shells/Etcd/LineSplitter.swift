/// Splits a stream into lines; each byte is looked at once.
struct LineSplitter {
    private let bytesMax: Int
    private var line: [UInt8] = []

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// What stands behind the last line's end.
    var rest: [UInt8] { line }

    /// - Returns: `false` once a line is longer than permitted.
    mutating func feed(_ bytes: some Collection<UInt8>, _ completed: ([UInt8]) -> Void) -> Bool {
        var bytes = bytes[...]
        while let end = bytes.firstIndex(of: UInt8(ascii: "\n")) {
            guard append(bytes[..<end]) else { return false }
            let complete = line
            line = []
            if !complete.isEmpty { completed(complete) }
            bytes = bytes[bytes.index(after: end)...]
        }
        return append(bytes)
    }

    private mutating func append(_ bytes: some Collection<UInt8>) -> Bool {
        guard line.count + bytes.count <= bytesMax else { return false }
        line += bytes
        return true
    }
}
