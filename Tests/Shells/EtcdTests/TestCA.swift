import Etcd
import Foundation

/// A CA of the tests' own, and what it signs; made by openssl.
struct TestCA {
    let folder: TestFolder
    private let name: String

    /// Its certificate is `NAME.pem`.
    init(_ name: String = "ca", in folder: TestFolder) throws {
        self.folder = folder
        self.name = name
        try openssl("req -x509 -nodes -days 30 -subj /O=\(name) -keyout \(name).key -out \(name).pem", Self.newKey)
    }

    private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]

    private func openssl(_ arguments: String, _ more: [String] = []) throws {
        try run("openssl", arguments.split(separator: " ").map(String.init) + more, in: folder.path)
    }

    /// Makes `FILE.pem` and `FILE.key`, for servers and clients: etcd's gateway is a client of its own server.
    ///
    /// - Parameter days: -1: expired.
    func sign(_ file: String, subject: String = "/O=etcd", names: String = "IP:127.0.0.1", days: Int = 30) throws {
        let extensions = ["-addext", "subjectAltName=\(names)", "-addext", "extendedKeyUsage=serverAuth,clientAuth"]
        try openssl(
            "req -nodes -subj \(subject) -keyout \(file).key -out \(file).csr", Self.newKey + extensions)
        try openssl(
            "x509 -req -in \(file).csr -CA \(name).pem -CAkey \(name).key -CAcreateserial -days \(days) "
                + "-copy_extensions copy -out \(file).pem")
    }

    /// For a client that trusts this CA.
    func tls(showing file: String? = nil) throws -> EtcdTLS {
        EtcdTLS(
            authority: try folder.bytes("\(name).pem"), certificate: try file.map { try folder.bytes("\($0).pem") },
            key: try file.map { try folder.bytes("\($0).key") })
    }

    /// A certificate that nothing is verified by; of `openssl req -x509 -newkey ec … -subj /O=any -days 36500`.
    static let any: [UInt8] = Array(anyText.utf8)
    private static let anyText = """
        -----BEGIN CERTIFICATE-----
        MIIBczCCARmgAwIBAgIUEj17EF+6Gc1YjCCKajaDOw8rLPMwCgYIKoZIzj0EAwIw
        DjEMMAoGA1UECgwDYW55MCAXDTI2MTEzMDE2NTQ0NVoYDzIxMjYxMTA2MTY1NDQ1
        WjAOMQwwCgYDVQQKDANhbnkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATOh+zX
        YN+QyQ9KGFb5FoYyJu9v6X1ZxJ9PeVGM9FOInsig1U9hUfVoMHvKMWi1fAutN7Qm
        CUyY+N6OK8fYV+RZo1MwUTAdBgNVHQ4EFgQUIGOFl31Dp2nX4TO3JDtIPKqa9Iow
        HwYDVR0jBBgwFoAUIGOFl31Dp2nX4TO3JDtIPKqa9IowDwYDVR0TAQH/BAUwAwEB
        /zAKBggqhkjOPQQDAgNIADBFAiBNYZsDyKTzI+Jv7svLl2tY16XzDeMK6ex0yqiP
        Z5B8WAIhAPbDY0MOsP0qPYvZ5GpIdIkjcJpEj10gGO2wVL3LuwVy
        -----END CERTIFICATE-----
        """
}
