/// A JSON text (RFC 8259) that was checked as a whole; its values are decoded when they are asked for.
///
/// Stricter than the RFC where it leaves a choice: a name that is twice in an object is refused, and so are half
/// surrogate pairs and a byte order mark. Reading takes linear time, and no recursion.
public final class JSONDocument: Sendable {
    let bytes: [UInt8]
    let nodes: [JSONNode]

    public init(_ bytes: [UInt8], limits: JSONLimits) throws(JSONError) {
        // Nodes keep places in 32 bits.
        guard bytes.count <= min(limits.bytesMax, Int(Int32.max)) else { throw .tooLong }
        var parser = JSONParser(bytes, limits)
        try parser.parse()
        self.bytes = bytes
        nodes = parser.nodes
    }

    public var root: JSONValue { JSONValue(document: self, index: 0) }
}
