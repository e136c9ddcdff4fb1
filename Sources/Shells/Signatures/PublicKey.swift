/// A public key of minisign's: Ed25519.
public struct PublicKey: Hashable, Sendable, CustomStringConvertible {
    public var id: KeyID
    /// 32 bytes.
    public var bytes: [UInt8]

    static let algorithm = Array("Ed".utf8)
    static let keyBytes = 32

    /// Why a file has no public keys.
    public struct Fault: Error, Hashable, Sendable {
        /// The line's number, from 1.
        public var line: Int
        public var what: String
    }

    /// As `minisign -G` writes them; one file may have several, for the time that one key follows another.
    public static func keys(inFile bytes: [UInt8]) throws(Fault) -> [PublicKey] {
        var keys: [PublicKey] = []
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let text = String(decoding: line.filter { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
            if text.isEmpty || text.hasPrefix("#") || text.hasPrefix("untrusted comment:") { continue }
            guard let key = PublicKey(text) else {
                let kind = isSecretKey(text) ? "a secret key" : "no public key"
                let what = "this is \(kind) of minisign's; `minisign -G` writes the public one to minisign.pub"
                throw Fault(line: index + 1, what: what)
            }
            keys.append(key)
        }
        guard !keys.isEmpty else { throw Fault(line: 1, what: "there is no key in it; `minisign -G` makes one") }
        return keys
    }

    private static func isSecretKey(_ text: String) -> Bool {
        Base64.bytes(text, count: SecretKey.fileBytes)?.starts(with: algorithm) ?? false
    }

    init(id: KeyID, bytes: [UInt8]) {
        self.id = id
        self.bytes = bytes
    }

    /// The line of base64 that minisign writes.
    init?(_ text: String) {
        guard let bytes = Base64.bytes(text, count: Self.algorithm.count + KeyID.count + Self.keyBytes),
            bytes.starts(with: Self.algorithm)
        else { return nil }
        id = KeyID(bytes[Self.algorithm.count...].prefix(KeyID.count))
        self.bytes = Array(bytes.suffix(Self.keyBytes))
    }

    public var description: String { "\(id)" }
}

/// Which key made a signature, as minisign shows it: a number in hexadecimal.
public struct KeyID: Hashable, Sendable, CustomStringConvertible {
    static let count = 8
    let bytes: [UInt8]

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = Array(bytes) }

    public var description: String {
        String(bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }, radix: 16, uppercase: true)
    }
}
