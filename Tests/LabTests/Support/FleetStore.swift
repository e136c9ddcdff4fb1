import Foundation
import Testing

/// etcd, as Debian has it, in the approved client's host: the third host of a pair.
struct FleetStore {
    /// On the segment of the two servers.
    static let address = "10.77.8.2"

    let lab: Lab
    private var name: String { "etcd" }
    var folder: String { "\(lab.state)/store" }

    /// Makes the certificates and starts one member.
    ///
    /// - Parameter asksForCertificates: whether nodes must show one of the same authority.
    func start(asksForCertificates: Bool = false) async throws {
        try makeCertificates(for: [Self.address])
        try await resume(asksForCertificates: asksForCertificates)
    }

    /// The authority, and one certificate for all members.
    func makeCertificates(for addresses: [String]) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Self.makeCertificates(in: folder, for: addresses)
    }

    static func makeCertificates(in folder: String, for addresses: [String]) throws {
        let names = addresses.map { "IP:\($0)" }.joined(separator: ",")
        let certificates = """
            set -e
            cd \(folder)
            openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj '/O=lab' 2>/dev/null
            openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj '/O=lab' 2>/dev/null
            printf 'subjectAltName=%s\\nextendedKeyUsage=serverAuth,clientAuth\\n' \(names) >server.ext
            openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile server.ext \
                -out server.pem 2>/dev/null
            chmod 644 ca.pem
            """
        let made = try run(["sh", "-c", certificates])
        try #require(made.isSuccess, "\(made)")
    }

    /// A node's certificate and key, in the files `NAME.pem` and `NAME.key`, which the sidecar's user can read.
    func makeCertificate(_ name: String, subject: String) throws {
        let commands = """
            set -e
            cd \(folder)
            openssl req -newkey rsa:2048 -nodes -keyout \(name).key -out \(name).csr -subj '\(subject)' 2>/dev/null
            openssl x509 -req -in \(name).csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out \(name).pem \
                2>/dev/null
            """
        let made = try run(["sh", "-c", commands])
        try #require(made.isSuccess, "\(made)")
    }

    /// Starts it with the data that it has.
    func resume(asksForCertificates: Bool = false) async throws {
        let url = "https://\(Self.address):2379"
        try lab.spawn(
            .approved, name,
            [
                "etcd", "--data-dir", "\(folder)/data", "--listen-client-urls", url, "--advertise-client-urls", url,
                "--cert-file", "\(folder)/server.pem", "--key-file", "\(folder)/server.key",
                "--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "error",
            ] + (asksForCertificates ? ["--client-cert-auth", "--trusted-ca-file", caPath] : []))
        try await eventually("etcd answers") { try etcdctl("endpoint", "health").isSuccess }
    }

    func stop(_ signal: String = "KILL") throws { try lab.kill(name, signal) }

    var caPath: String { "\(folder)/ca.pem" }
    var endpoint: String { "https://\(Self.address):2379" }

    /// For a store that asks for certificates.
    private var identity: [String] { ["--cert", "\(folder)/server.pem", "--key", "\(folder)/server.key"] }

    @discardableResult
    func etcdctl(_ words: String...) throws -> Output { try etcdctl(words) }

    @discardableResult
    func etcdctl(_ words: [String]) throws -> Output {
        try lab.exec(
            .approved,
            ["env", "ETCDCTL_API=3", "etcdctl", "--endpoints", endpoint, "--cacert", caPath] + identity + words,
            seconds: 10)
    }

    /// The number of keys below a part; etcdctl 3.4 can't count.
    func count(_ part: String) throws -> Int? {
        let command = "etcdctl get --prefix --keys-only /rpcwarden/v1/lab/\(part) | grep -c ."
        let output = try lab.exec(
            .approved,
            [
                "env", "ETCDCTL_API=3", "ETCDCTL_ENDPOINTS=\(endpoint)", "ETCDCTL_CACERT=\(caPath)", "sh", "-c",
                command,
            ], seconds: 20)
        return output.lines.first.flatMap { Int($0) }
    }

    /// The keys below a part, such as `pairs/nas/grants/`.
    func keys(_ part: String = "") throws -> [String] {
        let output = try etcdctl("get", "--prefix", "--keys-only", "/rpcwarden/v1/lab/\(part)")
        guard output.isSuccess else { throw CommandError(command: ["etcdctl get"], output: output) }
        return output.lines.filter { !$0.isEmpty }
    }
}
