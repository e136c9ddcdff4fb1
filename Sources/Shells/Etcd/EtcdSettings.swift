public struct EtcdCredentials: Hashable, Sendable {
    public var user: String
    public var password: String

    public init(user: String, password: String) {
        self.user = user
        self.password = password
    }
}

/// How the cluster is reached.
public struct EtcdSettings: Sendable {
    /// In the order in which they are tried; the first one that answers is kept until it fails.
    public var endpoints: [EtcdEndpoint]
    public var tls: EtcdTLS
    public var credentials: EtcdCredentials?
    /// Until TLS stands.
    public var connectTimeout: Duration = .seconds(2)
    /// From the question to the answer, connecting included.
    public var requestTimeout: Duration = .seconds(5)
    /// Lets tests use `http://` at 127.0.0.1; without TLS anybody on the way can read and change everything.
    public var permitsPlainLoopback = false

    public init(endpoints: [EtcdEndpoint], tls: EtcdTLS, credentials: EtcdCredentials? = nil) {
        self.endpoints = endpoints
        self.tls = tls
        self.credentials = credentials
    }
}

/// A setting that no client can be made with.
public enum EtcdSettingsError: Error, Hashable, Sendable, CustomStringConvertible {
    case noEndpoints
    case tooManyEndpoints(Int)
    case insecureEndpoint(EtcdEndpoint)
    /// The CA's certificates, the client's, or its key, in the library's words.
    case unusableCA(String)
    case unusableCertificate(String)
    case unusableKey(String)
    case keyWithoutCertificate

    public var description: String {
        switch self {
        case .noEndpoints: "no endpoint is given; etcd needs at least one"
        case .tooManyEndpoints(let count): "\(count) endpoints are given; at most \(EtcdLimits.endpointsMax) are used"
        case .insecureEndpoint(let endpoint): "\(endpoint) has no TLS; use https://"
        case .unusableCA(let detail): "the CA's certificates can't be used: \(detail)"
        case .unusableCertificate(let detail): "the certificate can't be used: \(detail)"
        case .unusableKey(let detail): "the key can't be used: \(detail)"
        case .keyWithoutCertificate: "a certificate and its key are given together or not at all"
        }
    }
}
