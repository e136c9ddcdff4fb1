/// A container in front of which its signature stands: the four lines that `minisign -S` writes to a file of their own.
///
///     untrusted comment: …
///     …base64: algorithm, key, signature of the container…
///     trusted comment: …
///     …base64: signature of the signature and of the trusted comment…
///     rpcwarden-policy 1
///     …
public struct SignedBundle: Hashable, Sendable {
    /// The second line, and the fourth, in base64.
    public var signature: String
    /// What the third line says behind its label.
    public var trustedComment: String
    public var commentSignature: String
    /// Not looked into before the signature is verified.
    public var container: ArraySlice<UInt8>

    static let signatureBytesMax = 4096
    public static let signatureLines = 4
    private static let untrustedLabel = "untrusted comment: "
    private static let trustedLabel = "trusted comment: "
    private static let labelOfContainer = Array("rpcwarden-policy ".utf8)

    public enum Fault: Error, Hashable, Sendable, CustomStringConvertible {
        case unsigned
        case noSignature

        public var description: String {
            switch self {
            case .unsigned: "it has no signature: sign it with `rpcwarden policy sign`, or with minisign"
            case .noSignature: "it doesn't begin with a signature as minisign writes it"
            }
        }
    }

    public init(_ bytes: [UInt8]) throws(Fault) {
        var rest = bytes[...]
        guard !rest.starts(with: Self.labelOfContainer) else { throw .unsigned }
        var lines: [String] = []
        while lines.count < Self.signatureLines {
            guard
                let end = rest.prefix(Self.signatureBytesMax / Self.signatureLines).firstIndex(of: PolicyBundle.newline)
            else {
                throw .noSignature
            }
            lines.append(String(decoding: rest[..<end], as: UTF8.self))
            rest = rest[(end + 1)...]
        }
        guard lines[0].hasPrefix(Self.untrustedLabel), lines[2].hasPrefix(Self.trustedLabel) else { throw .noSignature }
        signature = lines[1]
        trustedComment = String(lines[2].dropFirst(Self.trustedLabel.count))
        commentSignature = lines[3]
        container = rest
    }

    /// The bytes of a bundle's file.
    /// - Parameter what: is signed, for people.
    public static func bytes(
        signature: String, trustedComment: String, commentSignature: String, _ container: [UInt8],
        what: String = "a policy bundle"
    ) -> [UInt8] {
        let lines = [
            untrustedLabel + "signature of \(what) of rpcwarden", signature, trustedLabel + trustedComment,
            commentSignature,
        ]
        return lines.flatMap { Array($0.utf8) + [PolicyBundle.newline] } + container
    }
}
