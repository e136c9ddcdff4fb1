import Configuration
import Etcd
import Glibc
import System

/// A file of `etcd` in fleet.yaml that can't be used.
public struct StoreAccessError: Error, CustomStringConvertible {
    /// The key that names it.
    public var key: String
    public var message: String
    public var hint: String?

    public var description: String { "etcd.\(key): \(message)" + (hint.map { "; \($0)" } ?? "") }
}

/// What fleet.yaml names, read: certificates, the key, the password.
public struct StoreAccess: Sendable {
    public let settings: EtcdSettings
    /// What etcd would refuse, or soon will: the key that names it, and why.
    public let warnings: [(key: String, message: String)]

    private static let fileBytesMax = 1 << 20
    private static let passwordBytesMax = 1024

    /// - Parameter credentials: systemd's folder of credentials; `nil`: there is none.
    public init(_ store: SidecarSettings.Store, credentials: String?) throws(StoreAccessError) {
        let tls = EtcdTLS(
            authority: try Self.read("ca", store.caPath),
            certificate: try store.certificatePath.map { path throws(StoreAccessError) in
                try Self.read("certificate", path)
            },
            key: try store.keyPath.map { path throws(StoreAccessError) in
                try Self.read("key", path, isSecret: true)
            })
        warnings = try Self.flaws(of: tls)
        var login: EtcdCredentials?
        if let user = store.user {
            login = EtcdCredentials(user: user, password: try Self.password(store, credentials))
        }
        settings = EtcdSettings(
            endpoints: store.endpoints.map { EtcdEndpoint(host: $0.host, port: $0.port) }, tls: tls, credentials: login)
    }

    private static func flaws(of tls: EtcdTLS) throws(StoreAccessError) -> [(key: String, message: String)] {
        do throws(EtcdSettingsError) {
            return try tls.flaws(at: Int64(time(nil))).map { flaw in
                switch flaw {
                case .expiredAuthority: ("ca", "each certificate in it has expired")
                case .expiredCertificate: ("certificate", "it has expired")
                case .hasCommonName:
                    (
                        "certificate",
                        "its subject has a CN, and etcd's gateway refuses such once etcd has users: make one without, -subj /O=nas1"
                    )
                }
            }
        } catch {
            switch error {
            case .unusableKey: throw StoreAccessError(key: "key", message: "\(error)")
            case .unusableCertificate: throw StoreAccessError(key: "certificate", message: "\(error)")
            case .unusableCA, .noEndpoints, .tooManyEndpoints, .insecureEndpoint, .keyWithoutCertificate:
                throw StoreAccessError(key: "ca", message: "\(error)")
            }
        }
    }

    private static func password(
        _ store: SidecarSettings.Store, _ credentials: String?
    ) throws(StoreAccessError) -> String {
        let name = "etcd-password"
        guard let path = store.passwordPath ?? credentials.map({ "\($0)/\(name)" }) else {
            throw StoreAccessError(
                key: "user", message: "there is no password for it",
                hint: "name a password-file, or give the unit LoadCredential=\(name):…")
        }
        // systemd protects its credentials itself.
        var bytes = try read("password-file", path, max: passwordBytesMax, isSecret: store.passwordPath != nil)
        while let last = bytes.last, [UInt8(ascii: "\n"), UInt8(ascii: "\r")].contains(last) { bytes.removeLast() }
        guard !bytes.isEmpty, bytes.allSatisfy({ $0 >= UInt8(ascii: " ") }) else {
            throw StoreAccessError(key: "password-file", message: "\"\(path)\" has no password on its one line")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func read(
        _ key: String, _ path: String, max bytesMax: Int = fileBytesMax, isSecret: Bool = false
    ) throws(StoreAccessError) -> [UInt8] {
        let bytes: [UInt8]
        let mode: mode_t
        do throws(Errno) {
            (bytes, mode) = try contents(path, max: bytesMax)
        } catch {
            let hint = error.code == EACCES ? "let user \(geteuid()) read it: chown rpcwarden-fleet \(path)" : nil
            throw StoreAccessError(key: key, message: "\"\(path)\": \(error)", hint: hint)
        }
        guard !isSecret || mode & 0o077 == 0 else {
            throw StoreAccessError(
                key: key, message: "\"\(path)\" can be read by others (mode 0\(String(mode & 0o777, radix: 8)))",
                hint: "chmod 600 \(path)")
        }
        return bytes
    }

    private static func contents(_ path: String, max bytesMax: Int) throws(Errno) -> ([UInt8], mode_t) {
        // A pipe would stop the start.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Errno() }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Errno() }
        guard status.st_mode & S_IFMT == S_IFREG else { throw Errno(EINVAL) }
        guard status.st_size <= bytesMax else { throw Errno(EFBIG) }
        var bytes = [UInt8](repeating: 0, count: bytesMax)
        var count = 0
        while count < bytesMax {
            let read = bytes.withUnsafeMutableBytes { bytes in
                Glibc.read(descriptor, bytes.baseAddress.map { $0 + count }, bytesMax - count)
            }
            if read < 0, errno == EINTR { continue }
            guard read >= 0 else { throw Errno() }
            if read == 0 { break }
            count += read
        }
        return (Array(bytes.prefix(count)), status.st_mode)
    }
}
