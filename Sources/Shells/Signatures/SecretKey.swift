import CSodium

/// A secret key of minisign's.
public struct SecretKey: Sendable {
    private let id: KeyID
    /// 64 bytes: the seed, and the public key.
    private let bytes: [UInt8]

    public enum Fault: Error, Hashable, Sendable, CustomStringConvertible {
        case noKey
        case noPassword
        case wrongPassword
        case noMemory

        public var description: String {
            switch self {
            case .noKey: "this is no secret key of minisign's; `minisign -G` makes one"
            case .noPassword: "the key has a password, and none was given"
            case .wrongPassword: "wrong password"
            case .noMemory: "there isn't the memory that its password takes (1 GiB as minisign makes it)"
            }
        }
    }

    // What minisign writes: algorithm, key derivation, check; salt, two limits; id, key, checksum.
    private static let plainHead = Array("Ed\0\0B2".utf8)
    private static let lockedHead = Array("EdScB2".utf8)
    private static let saltBytes = 32
    private static let keyBytes = 64
    private static let checkBytes = 32
    private static let lockedBytes = KeyID.count + keyBytes + checkBytes
    private static let limitBytes = 8
    private static let headBytes = plainHead.count + saltBytes + 2 * limitBytes
    static let fileBytes = headBytes + lockedBytes
    /// More than `minisign -G` asks for: scrypt would take the memory, whatever a file says.
    private static let memoryMax: UInt64 = 2 << 30

    /// - Parameter password: asked only if the key has one; `nil`: there is none.
    public init(file bytes: [UInt8], password: () -> [UInt8]?) throws(Fault) {
        let lines = bytes.filter { $0 != UInt8(ascii: "\r") }.split(separator: UInt8(ascii: "\n")).map {
            String(decoding: $0, as: UTF8.self)
        }
        guard let text = lines.first(where: { !$0.hasPrefix("untrusted comment:") }),
            let file = Base64.bytes(text, count: Self.fileBytes)
        else { throw .noKey }
        var key = Array(file[Self.headBytes...])
        let isLocked = file.starts(with: Self.lockedHead)
        guard isLocked || file.starts(with: Self.plainHead) else { throw .noKey }
        if isLocked {
            guard let password = password() else { throw .noPassword }
            let salt = Array(file[Self.lockedHead.count...].prefix(Self.saltBytes))
            let limits = file[(Self.lockedHead.count + Self.saltBytes)...]
            let stream = try Self.stream(
                password, salt, operations: Self.number(limits.prefix(Self.limitBytes)),
                memory: Self.number(limits.dropFirst(Self.limitBytes).prefix(Self.limitBytes)))
            for index in key.indices { key[index] ^= stream[index] }
        }
        let body = key.prefix(KeyID.count + Self.keyBytes)
        // minisign writes the checksum of a locked key only.
        if isLocked, Self.checksum(of: body) != Array(key.suffix(Self.checkBytes)) { throw .wrongPassword }
        id = KeyID(body.prefix(KeyID.count))
        self.bytes = Array(body.suffix(Self.keyBytes))
    }

    private static func stream(
        _ password: [UInt8], _ salt: [UInt8], operations: UInt64, memory: UInt64
    ) throws(Fault) -> [UInt8] {
        guard memory <= memoryMax, operations <= memoryMax else { throw .noKey }
        var stream = [UInt8](repeating: 0, count: lockedBytes)
        let failed = crypto_pwhash_scryptsalsa208sha256(
            &stream, UInt64(stream.count), password.map(CChar.init(bitPattern:)), UInt64(password.count), salt,
            operations, Int(memory))
        guard failed == 0 else { throw .noMemory }
        return stream
    }

    private static func checksum(of body: ArraySlice<UInt8>) -> [UInt8] {
        var hash = [UInt8](repeating: 0, count: checkBytes)
        let message = Array("Ed".utf8) + body
        crypto_generichash(&hash, hash.count, message, UInt64(message.count), nil, 0)
        return hash
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    public func sign(_ message: [UInt8], trustedComment: String) -> Signature {
        let signature = signed(Signature.hash(message[...]))
        return Signature(
            text: Base64.text(Signature.hashed + id.bytes + signature), trustedComment: trustedComment,
            commentSignature: Base64.text(signed(signature + trustedComment.utf8)))
    }

    /// Such a key's public half.
    public var publicKey: PublicKey { PublicKey(id: id, bytes: Array(bytes.suffix(PublicKey.keyBytes))) }

    private func signed(_ message: [UInt8]) -> [UInt8] {
        var signature = [UInt8](repeating: 0, count: Signature.bytes)
        crypto_sign_detached(&signature, nil, message, UInt64(message.count), bytes)
        return signature
    }
}
