/// The permitted text of an element's comment.
///
/// nft(8) prints comments between double quotes and escapes nothing, and people load its output: a comment must
/// not be able to end its quotes, or its line.
public enum ElementComment {
    /// nft's own limit is 128 with the final zero.
    public static let bytesMax = 127

    /// Whether the byte is printable ASCII except `"` and `\`.
    public static func permits(_ byte: UInt8) -> Bool {
        (0x20...0x7e).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    public static func permits(_ comment: String) -> Bool {
        comment.utf8.count <= bytesMax && comment.utf8.allSatisfy(permits)
    }
}
