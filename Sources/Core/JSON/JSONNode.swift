/// A value or a name in the text: where it is, and where the next one is.
struct JSONNode {
    enum Kind: UInt8 {
        case object, array, text, number, yes, no, null
    }

    /// Of a text, without its quotation marks.
    var start: UInt32
    var end: UInt32
    /// The node behind this one and all that it contains.
    var next: UInt32
    var kind: Kind
    /// A text that contains a backslash.
    var isEscaped = false
    /// Of a name: a part of its hash, which this process alone knows.
    var hash: UInt16 = 0

    var range: Range<Int> { Int(start)..<Int(end) }
}
