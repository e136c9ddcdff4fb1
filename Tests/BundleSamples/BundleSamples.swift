import Bundles
import Clock
import Signatures

/// Bundles for tests, signed by a key that signs nothing else.
public enum BundleSamples {
    public static let publicKey = """
        untrusted comment: minisign public key 59EA1FB3B39E1B0B
        RWQLG56zsx/qWdupNik12k7D5H/TYIHjSpTKbplIkUdU47j49KBVoOUK

        """

    public static let secretKeyFile = """
        untrusted comment: minisign encrypted secret key
        RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACxues7Mf6lndhzs1uJ/kcQGhnRzpbpgIkFmvgSWgZJ505rlVWT6rKdupNik12k7D5H/TYIHjSpTKbplIkUdU47j49KBVoOUKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

        """

    /// The file of a bundle of fleet "lab".
    public static func signed(
        _ files: [String: String], group: String = "nfs", serial: UInt64 = 42, notAfter: Timestamp? = nil
    ) throws -> [UInt8] {
        let bundle = PolicyBundle(
            fleet: "lab", group: group, serial: serial, created: Timestamp(milliseconds: 1_700_000_000_000),
            notAfter: notAfter, files: files.map { PolicyBundle.File(name: $0.key, bytes: Array($0.value.utf8)) })
        return try signed(bundle.container)
    }

    public static func signed(_ container: [UInt8]) throws -> [UInt8] {
        let signature = try SecretKey(file: Array(secretKeyFile.utf8)) { nil }.sign(container, trustedComment: "a test")
        return SignedBundle.bytes(
            signature: signature.text, trustedComment: signature.trustedComment,
            commentSignature: signature.commentSignature, container)
    }
}
