import BundleSamples
import FleetRecords
import Foundation
import Testing

@testable import Sidecar

/// The program `rpcwarden-fleet`, the real etcd, and nodes that fetch.
@Suite("a published policy", .serialized) struct PublishedPolicyTests {
    private static let rule = "rules:\n- {name: r, from: [10.20.0.0/16], to: [mountd]}\n"

    private struct Bench {
        let fixture: FleetFixture
        let folder: String

        init(_ fixture: FleetFixture) throws {
            self.fixture = fixture
            folder = fixture.folder.path
            try write(
                "fleet.yaml",
                Array(
                    "fleet: lab\nnode: n\netcd: {endpoints: [\"\(fixture.etcd.endpoint)\"], ca: \(folder)/ca.pem}\n"
                        .utf8))
            try write("policy.pub", Array(BundleSamples.publicKey.utf8))
        }

        func write(_ name: String, _ bytes: [UInt8]) throws {
            try Data(bytes).write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
        }

        /// Signs and publishes; the program's output.
        func publish(_ text: String, serial: UInt64) throws -> String {
            try write("\(serial).bundle", try BundleSamples.signed(["a.yaml": text], serial: serial))
            return try program("publish", "--group", "nfs", "--keys", "policy.pub", "\(serial).bundle")
        }

        func program(_ words: String...) throws -> String {
            try run(
                TestProgram.fleet, words + ["--config", "fleet.yaml"], in: folder, isCertain: false)
        }

        var keys: [String] {
            get throws {
                try fixture.etcd.control(
                    "--cacert=ca.pem", "get", "--keys-only", "--prefix", "/rpcwarden/v1/lab/policy/nfs/bundle"
                ).split(separator: "\n").filter { !$0.isEmpty }.map(String.init)
            }
        }
    }

    private func withBench(_ body: (Bench, FixtureNode) throws -> Void) throws {
        let fixture = try FleetFixture()
        defer { fixture.end() }
        let bench = try Bench(fixture)
        let node = try fixture.node("a") {
            $0.policyGroup = "nfs"
            $0.policyKeys = "\(fixture.folder.path)/policy.pub"
        }
        try node.start()
        try node.daemon.hearsThatItIsInStep()
        try body(bench, node)
    }

    private func hears(_ serial: UInt64, _ node: FixtureNode) throws {
        try node.daemon.hears("serial \(serial)") {
            if case .policy(group: "nfs", serial: serial) = $0 { true } else { nil }
        }
    }

    @Test("reaches the node's disk in pieces, and only a higher serial is published; the last two stay in the store")
    func reaches() throws {
        try withBench { bench, node in
            let comment = String(repeating: "# 0123456789\n", count: 60_000)
            #expect(try bench.publish(comment + Self.rule, serial: 41).contains("serial 41 is published"))
            try hears(41, node)
            let stored = try bench.fixture.folder.bytes("a/nfs.bundle")
            #expect(stored == (try bench.fixture.folder.bytes("41.bundle")))
            #expect(try bench.publish(Self.rule, serial: 41).contains("serial 41 is not above 41"))
            #expect(try bench.publish(Self.rule, serial: 40).contains("serial 40 is not above 41"))
            for serial in [42, 43] as [UInt64] {
                #expect(try bench.publish(Self.rule, serial: serial).contains("published"))
            }
            try hears(43, node)
            #expect(try bench.keys == [42, 43].map { "/rpcwarden/v1/lab/policy/nfs/bundle/\($0)/0" })
        }
    }

    @Test("leaves the pieces of another bundle with the same serial as they are, and goes on with its own")
    func sameSerial() throws {
        try withBench { bench, node in
            let piece = "/rpcwarden/v1/lab/policy/nfs/bundle/41/0"
            let (etcd, ca) = (bench.fixture.etcd, "--cacert=ca.pem")
            _ = try etcd.control(ca, "put", piece, "another's")
            let refused = try bench.publish(Self.rule, serial: 41)
            #expect(refused.contains("\(piece) is of another bundle with serial 41"), "\(refused)")
            #expect(try etcd.control(ca, "get", "--print-value-only", piece) == "another's\n")
            _ = try etcd.control(ca, "del", piece)
            #expect(try bench.publish(Self.rule, serial: 41).contains("serial 41 is published"))
            // As an attempt leaves it that ended before the announcement.
            _ = try etcd.control(ca, "del", "/rpcwarden/v1/lab/policy/nfs/current")
            #expect(try bench.publish(Self.rule, serial: 41).contains("serial 41 is published"))
            try hears(41, node)
        }
    }

    @Test("is refused by the program if no node could take it")
    func refused() throws {
        try withBench { bench, _ in
            #expect(try bench.publish("rules: [{name: r}]\n", serial: 41).contains("error: "))
            try bench.write("other.bundle", try BundleSamples.signed(["a.yaml": Self.rule], group: "gw"))
            #expect(
                try bench.program("publish", "--group", "nfs", "other.bundle").contains("group gw; not of fleet lab"))
            var bytes = try BundleSamples.signed(["a.yaml": Self.rule])
            bytes[bytes.count - 20] ^= 1
            try bench.write("changed.bundle", bytes)
            #expect(
                try bench.program("publish", "--group", "nfs", "--keys", "policy.pub", "changed.bundle")
                    .contains("it was changed"))
            #expect(try bench.keys == [])
        }
    }

    @Test("of another fleet or group that lies on the disk has no serial here")
    func anothersSerial() throws {
        let folder = "/tmp/rpcwarden-test.\(getpid()).\(UInt32.random(in: 0...UInt32.max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { _ = unlink(folder + "/nfs.bundle") + rmdir(folder) }
        func shelf(_ fleet: String) -> PolicyShelf {
            PolicyShelf(folder: folder, fleet: fleet, group: "nfs", keysPath: nil)
        }
        let file = URL(fileURLWithPath: folder + "/nfs.bundle")
        try Data(try BundleSamples.signed(["a.yaml": Self.rule], serial: 100)).write(to: file)
        #expect(try shelf("lab").serial() == 100)
        #expect(try shelf("prod").serial() == 0)
        try Data(try BundleSamples.signed(["a.yaml": Self.rule], group: "other", serial: 100)).write(to: file)
        #expect(try shelf("lab").serial() == 0)
    }

    @Test("that isn't signed, or not what was announced, is not stored, whoever wrote it to the store")
    func hostileStore() throws {
        try withBench { bench, node in
            #expect(try bench.publish(Self.rule, serial: 41).contains("published"))
            try hears(41, node)
            let before = try bench.fixture.folder.bytes("a/nfs.bundle")
            let prefix = "/rpcwarden/v1/lab/policy/nfs/"
            let announcement = PolicyAnnouncement(
                serial: 42, sha256: String(repeating: "0", count: 64), bytes: 3, notAfter: nil)
            try bench.fixture.etcd.control("--cacert=ca.pem", "put", prefix + "bundle/42/0", "abc")
            try bench.fixture.etcd.control(
                "--cacert=ca.pem", "put", prefix + "current", String(decoding: announcement.text, as: UTF8.self))
            try node.answers(.status, "another hash")
            #expect(try bench.fixture.folder.bytes("a/nfs.bundle") == before)
        }
    }

    @Test("an order of the program's reaches the daemon as it was signed")
    func order() throws {
        try withBench { bench, node in
            try bench.write("key", Array(BundleSamples.secretKeyFile.utf8))
            let output = try bench.program("order", "revoke", "--client", "192.0.2.7", "--key", "key")
            #expect(output.contains("of fleet lab: revoke 192.0.2.7"))
            let text = try node.daemon.hears("the order") {
                if case .order(_, let text) = $0 { text } else { nil }
            }
            #expect(text.contains("rpcwarden-order 1\nfleet lab\nid ") && text.contains("\nrevoke 192.0.2.7\nend\n"))
        }
    }
}

enum TestProgram {
    /// Built with these tests.
    static let fleet: String = {
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? "."
        return URL(fileURLWithPath: bundle).deletingLastPathComponent().path + "/rpcwarden-fleet"
    }()
}
