import Bundles
import Signatures

extension FuzzTarget {
    /// A fleet's policy: the file with its signature, the container, the keys, and what is remembered of it. A container
    /// has one form.
    static let bundle = FuzzTarget(name: "bundle", allocationFactor: 64) { bytes in
        let bytes = Array(bytes)
        if let signed = attempt({ () throws(SignedBundle.Fault) in try SignedBundle(bytes) }) {
            require(signed.container.count < bytes.count, "a signature of no bytes")
            let signature = Signature(
                text: signed.signature, trustedComment: signed.trustedComment,
                commentSignature: signed.commentSignature)
            let key = attempt { () throws(Signature.Fault) in try signature.verify(signed.container, by: []) }
            require(key == nil, "verified without a key")
        }
        if let bundle = attempt({ () throws(PolicyBundle.Fault) in try PolicyBundle(container: bytes[...]) }) {
            require(bundle.container == bytes && bundle.flaw == nil, "\(bundle)")
        }
        _ = attempt { () throws(PublicKey.Fault) in try PublicKey.keys(inFile: bytes) }
        _ = attempt { () throws(SecretKey.Fault) in try SecretKey(file: bytes) { nil } }
        if let accepted = AcceptedBundle(text: bytes) { require(accepted.text == bytes, "\(accepted)") }
    }
}
