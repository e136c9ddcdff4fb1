import NIOSSL

/// Whom to trust, and what to show. All are PEM texts.
public struct EtcdTLS: Hashable, Sendable {
    /// The certificates of the CA; the system's are not used.
    public var authority: [UInt8]
    public var certificate: [UInt8]?
    public var key: [UInt8]?

    public init(authority: [UInt8], certificate: [UInt8]? = nil, key: [UInt8]? = nil) {
        self.authority = authority
        self.certificate = certificate
        self.key = key
    }

    /// Whether a certificate's subject has a common name: with users enabled, etcd's gateway
    /// refuses every request of its owner.
    ///
    /// - Parameter pem: the first certificate counts, as it does in a chain.
    public static func hasCommonName(pem: [UInt8]) throws(EtcdSettingsError) -> Bool {
        let failure = { EtcdSettingsError.unusableCertificate($0) }
        guard let first = try certificates(pem, failure).first else { return false }
        do {
            return DERSubject.hasCommonName(certificate: try first.toDERBytes())
        } catch {
            throw failure("\(error)")
        }
    }

    func context() throws(EtcdSettingsError) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.certificateVerification = .fullVerification
        configuration.applicationProtocols = ["http/1.1"]
        configuration.trustRoots = .certificates(try Self.certificates(authority) { .unusableCA($0) })
        guard (certificate == nil) == (key == nil) else { throw .keyWithoutCertificate }
        if let certificate, let key {
            let chain = try Self.certificates(certificate) { .unusableCertificate($0) }
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(try privateKey(key))
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw .unusableCertificate("\(error)")
        }
    }

    private static func certificates(
        _ pem: [UInt8], _ failure: (String) -> EtcdSettingsError
    ) throws(EtcdSettingsError) -> [NIOSSLCertificate] {
        do {
            let found = try NIOSSLCertificate.fromPEMBytes(pem)
            guard !found.isEmpty else { throw failure("no certificate is in it") }
            return found
        } catch let error as EtcdSettingsError {
            throw error
        } catch {
            throw failure("\(error)")
        }
    }

    private func privateKey(_ pem: [UInt8]) throws(EtcdSettingsError) -> NIOSSLPrivateKey {
        do {
            return try NIOSSLPrivateKey(bytes: pem, format: .pem)
        } catch {
            throw .unusableKey("\(error)")
        }
    }
}
