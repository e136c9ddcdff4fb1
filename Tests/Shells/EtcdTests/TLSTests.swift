import Etcd
import Foundation
import Testing

/// Against the real etcd, with certificates of openssl.
@Suite("TLS to etcd") struct TLSTests {
    /// An etcd that shows the certificate `server`.
    private func withServer(
        _ ca: TestCA, _ more: [String] = [], _ body: (EtcdMember, EtcdSettings) throws -> Void
    ) throws {
        let member = try EtcdMember(
            in: ca.folder, ["--cert-file", "server.pem", "--key-file", "server.key"] + more)
        try member.start()
        defer { member.stop() }
        var settings = EtcdSettings.plain(member.endpoint)
        settings.permitsPlainLoopback = false
        settings.tls = try ca.tls()
        try body(member, settings)
    }

    private func ca(names: String = "IP:127.0.0.1", days: Int = 30) throws -> TestCA {
        let ca = try TestCA(in: try TestFolder())
        try ca.sign("server", names: names, days: days)
        return ca
    }

    /// The reason of the failure, once the member listens.
    private func failureReason(_ settings: EtcdSettings) throws -> String {
        try withClient(settings) { client in
            var reason = ""
            _ = try eventually {
                if let error = failure({ try client.probe([0]).wait() }) {
                    reason = "\(error)"
                    if reason.contains("Connection refused") { throw error }
                }
            } while: {
                if case .lost = $0 { true } else { false }
            }
            return reason
        }
    }

    @Test("a server of another CA, with another name, or past its time is refused, and the reason told")
    func refusals() throws {
        let good = try ca()
        try withServer(good) { _, settings in
            var settings = settings
            settings.tls = try TestCA("other", in: good.folder).tls()
            let reason = try failureReason(settings)
            #expect(reason.hasSuffix("TLS: its certificate is of another CA, or isn't valid now"))
        }
        try withServer(try ca(names: "DNS:elsewhere")) { _, settings in
            let reason = try failureReason(settings)
            #expect(reason.hasSuffix("TLS: its certificate has another name"))
        }
        try withServer(try ca(days: -1)) { _, settings in
            let reason = try failureReason(settings)
            #expect(reason.hasSuffix("TLS: its certificate is of another CA, or isn't valid now"))
        }
    }

    @Test("a server of the CA with the right address or name answers, and its watches do")
    func accepted() throws {
        try withServer(try ca(names: "IP:127.0.0.1,DNS:localhost")) { member, settings in
            for host in ["127.0.0.1", "localhost"] {
                var settings = settings
                settings.endpoints[0].host = host
                try withClient(settings) { client in
                    try awaitAnswer(of: client, member)
                    let (watch, told) = try client.opened([EtcdRange(key: bytes("a"))], from: 1)
                    #expect(told.end == nil)
                    watch.cancel()
                }
            }
        }
    }

    @Test("a client's certificate is demanded; etcd's gateway refuses one with a common name")
    func clientCertificates() throws {
        let ca = try ca()
        try ca.sign("named", subject: "/O=nodes/CN=nas1")
        try ca.sign("nameless", subject: "/O=nodes")
        #expect(try EtcdTLS.hasCommonName(pem: ca.folder.bytes("named.pem")))
        #expect(try !EtcdTLS.hasCommonName(pem: ca.folder.bytes("nameless.pem")))
        try withServer(ca, ["--client-cert-auth", "--trusted-ca-file", "ca.pem"]) { member, settings in
            var settings = settings
            settings.tls = try ca.tls(showing: "nameless")
            try withClient(settings) { try awaitAnswer(of: $0, member) }
            settings.tls = try ca.tls(showing: "named")
            // It does so once etcd has users.
            try withClient(settings) { try awaitAnswer(of: $0, member) }
            let shown = ["--cacert", "ca.pem", "--cert", "nameless.pem", "--key", "nameless.key"]
            try member.control(shown + ["user", "add", "root:root"])
            try member.control(shown + ["user", "grant-role", "root", "root"])
            try member.control(shown + ["auth", "enable"])
            let refused = try withClient(settings) { client in failure { try client.probe([0]).wait() } }
            let reason =
                "HTTP status 400: CommonName of client sending a request against gateway will be ignored and not used "
                + "as expected "
            #expect(refused == .refused(code: 2, message: reason))
            settings.tls = try ca.tls(showing: "nameless")
            settings.credentials = EtcdCredentials(user: "root", password: "root")
            try withClient(settings) { try awaitAnswer(of: $0, member) }
            settings.tls = try ca.tls()
            let missing = try failureReason(settings)
            // By the version of Go that etcd was built with.
            #expect(missing.contains("BAD_CERTIFICATE") || missing.contains("CERTIFICATE_REQUIRED"))
        }
    }

    @Test("a client can't be made without TLS, endpoints, or with half a certificate")
    func settings() throws {
        func refused(_ change: (inout EtcdSettings) -> Void) -> EtcdSettingsError? {
            var settings = EtcdSettings.plain(EtcdEndpoint(host: "etcd1", port: 2379))
            change(&settings)
            do {
                try withClient(settings) { _ in }
                return nil
            } catch {
                return error as? EtcdSettingsError
            }
        }
        #expect(refused { _ in } == nil)
        #expect(refused { $0.endpoints = [] } == .noEndpoints)
        let plain = EtcdEndpoint(isSecure: false, host: "127.0.0.1", port: 2379)
        #expect(
            refused {
                $0.endpoints.append(plain)
                $0.permitsPlainLoopback = false
            } == .insecureEndpoint(plain))
        let elsewhere = EtcdEndpoint(isSecure: false, host: "192.0.2.1", port: 2379)
        #expect(refused { $0.endpoints = [elsewhere] } == .insecureEndpoint(elsewhere))
        #expect(refused { $0.tls.certificate = TestCA.any } == .keyWithoutCertificate)
        #expect(refused { $0.tls.key = TestCA.any } == .keyWithoutCertificate)
        for authority in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            guard case .unusableCA? = refused({ $0.tls.authority = bytes(authority) }) else {
                return #expect(Bool(false), "\(authority)")
            }
        }
        let isUnusableKey = refused {
            $0.tls.certificate = TestCA.any
            $0.tls.key = bytes("x")
        }
        guard case .unusableKey? = isUnusableKey else { return #expect(Bool(false), "\(isUnusableKey as Any)") }
    }
}
