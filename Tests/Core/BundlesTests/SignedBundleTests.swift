import Bundles
import Testing

@Suite("A signed bundle") struct SignedBundleTests {
    private static let container = Array("rpcwarden-policy 1\nfleet lab\n".utf8)

    @Test("has its signature in front of the container")
    func parts() throws {
        let bytes = SignedBundle.bytes(
            signature: "c2ln", trustedComment: "serial 42", commentSignature: "Y29t", Self.container)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(
            text.hasPrefix(
                "untrusted comment: signature of a policy bundle of rpcwarden\nc2ln\ntrusted comment: serial 42\nY29t\nrpc"
            )
        )
        let signed = try SignedBundle(bytes)
        #expect(signed.signature == "c2ln" && signed.trustedComment == "serial 42" && signed.commentSignature == "Y29t")
        #expect(Array(signed.container) == Self.container)
    }

    @Test("is told from one that nobody signed, and from anything else")
    func others() {
        #expect(throws: SignedBundle.Fault.unsigned) { try SignedBundle(Self.container) }
        for text in ["", "\n\n\n\n", "untrusted comment: a\nb\ntrusted comment: c\nd", "a\nb\nc\nd\ne"] {
            #expect(throws: SignedBundle.Fault.noSignature) { try SignedBundle(Array(text.utf8)) }
        }
        let long = "untrusted comment: " + String(repeating: "a", count: 1024) + "\nb\ntrusted comment: c\nd\n"
        #expect(throws: SignedBundle.Fault.noSignature) { try SignedBundle(Array(long.utf8)) }
    }
}
