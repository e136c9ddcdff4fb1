import CSodium

/// A signature in minisign's format. It covers the message, and a comment by another signature.
public struct Signature: Hashable, Sendable {
    /// The base64 of algorithm, key and signature.
    public var text: String
    public var trustedComment: String
    /// The base64 of the signature of the signature and the comment.
    public var commentSignature: String

    public init(text: String, trustedComment: String, commentSignature: String) {
        self.text = text
        self.trustedComment = trustedComment
        self.commentSignature = commentSignature
    }

    static let bytes = 64
    /// The message itself was signed.
    static let plain = Array("Ed".utf8)
    /// The message's hash by BLAKE2b was signed.
    static let hashed = Array("ED".utf8)

    /// Why a signature isn't good.
    public enum Fault: Error, Hashable, Sendable, CustomStringConvertible {
        case malformed
        case unknownKey(KeyID)
        case wrong(KeyID)
        case wrongComment(KeyID)

        public var description: String {
            switch self {
            case .malformed: "its signature is no signature of minisign's"
            case .unknownKey(let id): "it is signed by key \(id), which is none of the keys"
            case .wrong(let id): "it was changed after key \(id) had signed it"
            case .wrongComment(let id): "its trusted comment was changed after key \(id) had signed it"
            }
        }
    }

    /// - Returns: the key that signed the message.
    @discardableResult
    public func verify(_ message: ArraySlice<UInt8>, by keys: [PublicKey]) throws(Fault) -> PublicKey {
        let headBytes = Self.plain.count + KeyID.count
        guard let head = Base64.bytes(text, count: headBytes + Self.bytes),
            let comment = Base64.bytes(commentSignature, count: Self.bytes),
            head.starts(with: Self.plain) || head.starts(with: Self.hashed)
        else { throw .malformed }
        let id = KeyID(head[Self.plain.count..<headBytes])
        let signature = Array(head[headBytes...])
        guard let key = keys.first(where: { $0.id == id }) else { throw .unknownKey(id) }
        let signed = head.starts(with: Self.hashed) ? Self.hash(message) : Array(message)
        guard Self.isGood(signature, of: signed, by: key) else { throw .wrong(id) }
        guard Self.isGood(comment, of: signature + trustedComment.utf8, by: key) else { throw .wrongComment(id) }
        return key
    }

    private static func isGood(_ signature: [UInt8], of message: [UInt8], by key: PublicKey) -> Bool {
        crypto_sign_verify_detached(signature, message, UInt64(message.count), key.bytes) == 0
    }

    /// The first half of the message's hash by BLAKE2b, in hexadecimal.
    public static func digest(of message: ArraySlice<UInt8>) -> String {
        let hash = hash(message)
        // Two digits a byte, and a zero: those of the first half.
        var digits = [CChar](repeating: 0, count: hash.count + 1)
        sodium_bin2hex(&digits, digits.count, hash, hash.count / 2)
        return String(decoding: digits.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    static func hash(_ message: ArraySlice<UInt8>) -> [UInt8] {
        var hash = [UInt8](repeating: 0, count: Int(crypto_generichash_BYTES_MAX))
        message.withUnsafeBufferPointer { message in
            _ = crypto_generichash(&hash, hash.count, message.baseAddress, UInt64(message.count), nil, 0)
        }
        return hash
    }
}
