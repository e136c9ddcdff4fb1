import NIOSSL

/// What of a node's certificates will be refused, though it can be read.
public enum EtcdTLSFlaw: Hashable, Sendable {
    case expiredAuthority
    case expiredCertificate
    /// etcd's gateway refuses every request of such a certificate's owner.
    case hasCommonName
}

extension EtcdTLS {
    /// - Parameter seconds: since 1970.
    /// - Throws: what makes the files unusable, such as a key of another certificate.
    public func flaws(at seconds: Int64) throws(EtcdSettingsError) -> [EtcdTLSFlaw] {
        _ = try context()
        var flaws: [EtcdTLSFlaw] = []
        if try Self.isExpired(authority, at: seconds, { .unusableCA($0) }) { flaws.append(.expiredAuthority) }
        guard let certificate else { return flaws }
        // The first certificate counts, as it does in a chain.
        if try Self.isExpired(certificate, first: 1, at: seconds, { .unusableCertificate($0) }) {
            flaws.append(.expiredCertificate)
        }
        if try Self.hasCommonName(pem: certificate) { flaws.append(.hasCommonName) }
        return flaws
    }

    /// Whether each of the certificates has expired.
    private static func isExpired(
        _ pem: [UInt8], first count: Int = .max, at seconds: Int64, _ failure: (String) -> EtcdSettingsError
    ) throws(EtcdSettingsError) -> Bool {
        do {
            return try NIOSSLCertificate.fromPEMBytes(pem).prefix(count).allSatisfy { $0.notValidAfter < seconds }
        } catch {
            throw failure("\(error)")
        }
    }
}
